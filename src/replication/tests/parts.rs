//! Properties of the parts.
