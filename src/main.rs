//! `regent`: the command line.

fn main() {}
