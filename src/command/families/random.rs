//! Random elements of a collection, as HRANDFIELD, SRANDMEMBER and ZRANDMEMBER take them.

use crate::command::{Args, Refusal};
use ahash::RandomState;
use hashbrown::HashSet;

/// How many were asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Each at most once.
    Distinct(u64),
    /// So many, again and again.
    Repeated(u64),
}

impl Wanted {
    /// How many elements that are at most.
    pub fn words(self) -> u64 {
        let (Wanted::Distinct(count) | Wanted::Repeated(count)) = self;
        count
    }
}

/// The next word as a count; a negative one says that elements may repeat.
pub fn count_word(args: &mut Args<'_>) -> Result<Wanted, Refusal> {
    match args.int()? {
        i64::MIN => Err(Refusal::err(format!("value is out of range, value must between -{0} and {0}", i64::MAX))),
        count @ ..0 => Ok(Wanted::Repeated(count.unsigned_abs())),
        count => Ok(Wanted::Distinct(count as u64)),
    }
}

/// Draws so many different elements, of more than there are wanted.
pub fn draw<'a, T>(count: usize, mut one: impl FnMut() -> Option<(&'a [u8], T)>, mut tell: impl FnMut((&'a [u8], T))) {
    let mut seen = HashSet::<&[u8], RandomState>::default();
    while seen.len() < count
        && let Some(drawn) = one()
    {
        if seen.insert(drawn.0) {
            tell(drawn);
        }
    }
}

/// Which elements are taken.
pub enum Picks {
    All,
    /// By their places in the order of iteration, rising.
    Places(Vec<usize>),
    /// So many, each by itself until they are all different: where few are wanted of many.
    Tries(usize),
    /// So many, each by itself.
    Repeated(usize),
}

/// From here on looking at all of a collection takes longer than drawing again now and then.
const MANY: usize = 128;

/// Chooses among `len` elements.
pub fn picks(wanted: Wanted, len: usize, mut random: impl FnMut() -> u64) -> Picks {
    match wanted {
        Wanted::Repeated(count) => Picks::Repeated(if len == 0 { 0 } else { count as usize }),
        Wanted::Distinct(count) if count >= len as u64 => Picks::All,
        Wanted::Distinct(count) if len > MANY && count < len as u64 / 3 => Picks::Tries(count as usize),
        Wanted::Distinct(count) => {
            // Knuth's selection sampling: each place is taken with the chance that is left for it.
            let (mut places, count) = (Vec::with_capacity(count as usize), count as usize);
            for place in 0..len {
                if places.len() == count {
                    break;
                }
                if random() % ((len - place) as u64) < (count - places.len()) as u64 {
                    places.push(place);
                }
            }
            Picks::Places(places)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_places_are_so_many_and_all_are_taken_alike() {
        let mut state = 1u64;
        let mut roll = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            state >> 20
        };
        let mut taken = [0; 10];
        for _ in 0..10_000 {
            let Picks::Places(places) = picks(Wanted::Distinct(3), 10, &mut roll) else { panic!("three of ten") };
            assert!(places.len() == 3 && places.is_sorted() && places.windows(2).all(|two| two[0] < two[1]));
            places.into_iter().for_each(|place| taken[place] += 1);
        }
        assert!(taken.iter().all(|times| (2800..3200).contains(times)), "{taken:?}");
        assert!(matches!(picks(Wanted::Distinct(3), 3, &mut roll), Picks::All));
        assert!(matches!(picks(Wanted::Distinct(3), 300, &mut roll), Picks::Tries(3)));
        assert!(matches!(picks(Wanted::Repeated(7), 3, &mut roll), Picks::Repeated(7)));
        assert!(matches!(picks(Wanted::Repeated(7), 0, &mut roll), Picks::Repeated(0)));
    }
}
