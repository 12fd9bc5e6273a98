//! Names and order.
