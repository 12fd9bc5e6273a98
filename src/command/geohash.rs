//! Places on the earth as integers of 52 bits, and which of them lie near a point.
//!
//! Longitude and latitude are halved 26 times each; the bits take turns. Places with a common beginning lie in one
//! rectangle, so a sorted set with these scores answers "what is near" with nine ranges: the rectangle around the centre
//! and its neighbours ([`cells`]), large enough to cover the area, and each member in them is measured.
//!
//! The figures are those of Redis to the last bit (range of the latitude, radius of the earth, order of the sums), since
//! scores and distances are compared with it.

use std::f64::consts::PI;

/// Bits of each coordinate.
const STEPS_MAX: u32 = 26;
pub const LONGITUDE_MAX: f64 = 180.0;
/// Of the square map of the web; the poles are not on it.
pub const LATITUDE_MAX: f64 = 85.051_128_78;
const EARTH_RADIUS_M: f64 = 6_372_797.560_856;
/// Half of the equator on that map.
const MERCATOR_MAX_M: f64 = 20_037_726.37;
const RADIANS: f64 = PI / 180.0;

/// A place: longitude and latitude, degrees.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place {
    pub longitude: f64,
    pub latitude: f64,
}

impl Place {
    /// Whether it is on the map.
    pub fn is_valid(self) -> bool {
        (-LONGITUDE_MAX..=LONGITUDE_MAX).contains(&self.longitude)
            && (-LATITUDE_MAX..=LATITUDE_MAX).contains(&self.latitude)
    }

    /// Its score in a sorted set.
    pub fn score(self) -> u64 {
        Cell::of(self, STEPS_MAX, LATITUDE_MAX).bits
    }

    /// The place of a score: the middle of the smallest cell.
    pub fn of_score(score: f64) -> Place {
        // A score below zero becomes what C makes of it.
        let bits = if score < 9_223_372_036_854_775_808.0 { score as i64 as u64 } else { score as u64 };
        let area = Cell { bits, steps: STEPS_MAX }.area();
        let middle = |(low, high): (f64, f64), max: f64| ((low + high) / 2.0).clamp(-max, max);
        Place { longitude: middle(area.longitude, LONGITUDE_MAX), latitude: middle(area.latitude, LATITUDE_MAX) }
    }

    /// The geohash that the world knows: of latitudes up to the poles, in letters of five bits. The eleventh is no more
    /// than a zero, since 52 bits are ten letters.
    pub fn geohash(self) -> [u8; 11] {
        const LETTERS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let bits = Cell::of(self, STEPS_MAX, 90.0).bits;
        std::array::from_fn(|at| match at {
            10 => LETTERS[0],
            at => LETTERS[(bits >> (52 - (at + 1) * 5)) as usize & 31],
        })
    }

    /// Metres along the surface.
    pub fn distance(self, other: Place) -> f64 {
        let v = ((other.longitude * RADIANS - self.longitude * RADIANS) / 2.0).sin();
        if v == 0.0 {
            return self.distance_north(other);
        }
        let (from, to) = (self.latitude * RADIANS, other.latitude * RADIANS);
        let u = ((to - from) / 2.0).sin();
        let a = u * u + from.cos() * to.cos() * v * v;
        2.0 * EARTH_RADIUS_M * a.sqrt().asin()
    }

    /// Metres between their latitudes.
    fn distance_north(self, other: Place) -> f64 {
        EARTH_RADIUS_M * (other.latitude * RADIANS - self.latitude * RADIANS).abs()
    }
}

/// What is searched, metres.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
}

impl Shape {
    /// How far a place is from the centre; `None` where it is outside.
    pub fn distance(self, centre: Place, place: Place) -> Option<f64> {
        match self {
            Shape::Circle { radius } => Some(centre.distance(place)).filter(|&distance| distance <= radius),
            Shape::Box { width, height } => {
                let beside = Place { longitude: centre.longitude, latitude: place.latitude };
                let inside = place.distance_north(centre) <= height / 2.0 && place.distance(beside) <= width / 2.0;
                inside.then(|| centre.distance(place))
            }
        }
    }

    /// Half of its width and height, and the way to its farthest point.
    fn reach(self) -> (f64, f64, f64) {
        match self {
            Shape::Circle { radius } => (radius, radius, radius),
            Shape::Box { width, height } => {
                let (half_width, half_height) = (width / 2.0, height / 2.0);
                (half_width, half_height, (half_width * half_width + half_height * half_height).sqrt())
            }
        }
    }
}

/// All places whose score begins with these bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    bits: u64,
    steps: u32,
}

struct Area {
    longitude: (f64, f64),
    latitude: (f64, f64),
}

impl Cell {
    fn of(place: Place, steps: u32, latitude_max: f64) -> Cell {
        let scale = (1_u64 << steps) as f64;
        let share = |at: f64, max: f64| ((at + max) / (max + max) * scale) as u32;
        let (y, x) = (share(place.latitude, latitude_max), share(place.longitude, LONGITUDE_MAX));
        Cell { bits: spread(y) | spread(x) << 1, steps }
    }

    fn area(self) -> Area {
        let range = |at: u32, max: f64| {
            let edge = |at: u32| -max + (f64::from(at) / (1_u64 << self.steps) as f64) * (max + max);
            (edge(at), edge(at.wrapping_add(1)))
        };
        let (y, x) = (gather(self.bits), gather(self.bits >> 1));
        Area { longitude: range(x, LONGITUDE_MAX), latitude: range(y, LATITUDE_MAX) }
    }

    /// The scores in it: the first, and the one behind the last.
    pub fn scores(self) -> (f64, f64) {
        let shift = 52 - self.steps * 2;
        ((self.bits << shift) as f64, ((self.bits + 1) << shift) as f64)
    }

    /// The cell so many to the east and to the north, around the world.
    fn beside(self, east: i32, north: i32) -> Cell {
        let mask = (1_u32 << self.steps) - 1;
        let step = |at: u32, by: i32| at.wrapping_add_signed(by) & mask;
        let (y, x) = (step(gather(self.bits), north), step(gather(self.bits >> 1), east));
        Cell { bits: spread(y) | spread(x) << 1, steps: self.steps }
    }
}

/// Bits at the even places.
fn spread(bits: u32) -> u64 {
    let mut x = u64::from(bits);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        x = (x | x << shift) & mask;
    }
    x
}

/// The bits at the even places.
fn gather(bits: u64) -> u32 {
    let mut x = bits & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff_u64),
    ] {
        x = (x | x >> shift) & mask;
    }
    x as u32
}

/// How finely to halve, so that nine cells cover what is within reach. Towards the poles cells are narrow.
fn steps_for(reach_m: f64, latitude: f64) -> u32 {
    if reach_m == 0.0 {
        return STEPS_MAX;
    }
    let (mut reach, mut steps) = (reach_m, 1);
    while reach < MERCATOR_MAX_M {
        reach *= 2.0;
        steps += 1;
    }
    steps -= 2;
    if latitude.abs() > 66.0 {
        steps -= 1;
        if latitude.abs() > 80.0 {
            steps -= 1;
        }
    }
    steps.clamp(1, STEPS_MAX as i32) as u32
}

/// The cells to be searched, in Redis' order: the one of the centre, then north, south, east, west and the corners. On a
/// coarse grid neighbours may be the same; one that repeats the one before it is left out.
pub fn cells(centre: Place, shape: Shape) -> Vec<Cell> {
    let (half_width, half_height, reach) = shape.reach();
    let north = half_height / EARTH_RADIUS_M / RADIANS;
    let east_at = |latitude: f64| half_width / EARTH_RADIUS_M / (latitude * RADIANS).cos() / RADIANS;
    let southern = centre.latitude < 0.0;
    let east = east_at(if southern { centre.latitude - north } else { centre.latitude + north });
    let (west_end, east_end) = (centre.longitude - east, centre.longitude + east);
    let (south_end, north_end) = (centre.latitude - north, centre.latitude + north);

    let mut steps = steps_for(reach, centre.latitude);
    let mut cell = Cell::of(centre, steps, LATITUDE_MAX);
    let short = cell.beside(0, 1).area().latitude.1 < north_end
        || cell.beside(0, -1).area().latitude.0 > south_end
        || cell.beside(1, 0).area().longitude.1 < east_end
        || cell.beside(-1, 0).area().longitude.0 > west_end;
    if steps > 1 && short {
        steps -= 1;
        cell = Cell::of(centre, steps, LATITUDE_MAX);
    }
    let area = cell.area();
    let needless = |east: i32, north: i32| {
        steps >= 2
            && (north < 0 && area.latitude.0 < south_end
                || north > 0 && area.latitude.1 > north_end
                || east < 0 && area.longitude.0 < west_end
                || east > 0 && area.longitude.1 > east_end)
    };
    let mut cells = vec![cell];
    for (east, north) in [(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)] {
        let beside = cell.beside(east, north);
        let repeats = cells.len() > 1 && cells.last() == Some(&beside);
        if !needless(east, north) && !repeats {
            cells.push(beside);
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random_place(dice: &mut crate::base::Dice) -> Place {
        let mut at = |max: f64| (dice.roll() as f64 / u64::MAX as f64 * 2.0 - 1.0) * max;
        Place { longitude: at(LONGITUDE_MAX), latitude: at(LATITUDE_MAX) }
    }

    #[test]
    fn a_score_finds_its_place_again() {
        let mut dice = crate::base::Dice(1);
        for _ in 0..1000 {
            let place = random_place(&mut dice);
            let back = Place::of_score(place.score() as f64);
            assert!(place.distance(back) < 1.0);
            let bits = dice.roll() as u32;
            assert_eq!(gather(spread(bits)), bits);
        }
    }

    #[test]
    fn the_cells_cover_what_is_within_reach() {
        let mut dice = crate::base::Dice(2);
        for _ in 0..300 {
            let mut centre = random_place(&mut dice);
            centre.latitude *= 0.8;
            let shape = match dice.roll() % 2 {
                0 => Shape::Circle { radius: (dice.roll() % 1_000_000) as f64 },
                _ => Shape::Box { width: (dice.roll() % 1_000_000) as f64, height: (dice.roll() % 1_000_000) as f64 },
            };
            let cells = cells(centre, shape);
            for _ in 0..100 {
                let mut near = |at: f64| at + (dice.roll() as f64 / u64::MAX as f64 - 0.5) * 20.0;
                let place = Place { longitude: near(centre.longitude), latitude: near(centre.latitude) };
                if !place.is_valid() || shape.distance(centre, place).is_none() {
                    continue;
                }
                let score = place.score() as f64;
                let found = cells.iter().any(|cell| (cell.scores().0..cell.scores().1).contains(&score));
                assert!(found, "{centre:?} {shape:?} {place:?}");
            }
        }
    }

    #[test]
    fn known_places() {
        let palermo = Place { longitude: 13.361389, latitude: 38.115556 };
        let catania = Place { longitude: 15.087269, latitude: 37.502669 };
        assert_eq!(palermo.score(), 3_479_099_956_230_698);
        let [palermo, catania] = [palermo, catania].map(|place| Place::of_score(place.score() as f64));
        assert_eq!(format!("{:.4}", palermo.distance(catania)), "166274.1516");
        assert_eq!(&palermo.geohash(), b"sqc8b49rny0");
    }
}
