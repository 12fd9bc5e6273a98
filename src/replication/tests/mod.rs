//! Golden scripts of both ends ([`script`]), worlds of nodes over a lossy network from seeds ([`world`], [`seeds`]), and
//! properties of the parts ([`parts`]).

mod parts;
mod script;
mod seeds;
mod world;
