//! Doubles and tests of this folder.
