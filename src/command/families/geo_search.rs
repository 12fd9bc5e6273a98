//! Geo: what lies in a circle or a box. GEOSEARCH and GEOSEARCHSTORE, and the GEORADIUS commands that came before them.

use super::geo::{place, place_of, tell_distance, tell_place, unit};
use super::zset;
use super::zset_range::replace;
use crate::command::geohash::{Place, Shape, cells};
use crate::command::spec::{DENYOOM, Group, KeySpec, MOVABLE_KEYS, READONLY, Spec, WRITE, key, key_behind, spec};
use crate::command::{Args, Cx, Outcome, Refusal};
use crate::keyspace::{Key, ZsetRef};

const READ: &[KeySpec] = &[key(1, &["RO", "access"])];
const STORED: &[KeySpec] = &[READ[0], stored("STORE", 6), stored("STOREDIST", 6)];
const STORED_BY_MEMBER: &[KeySpec] = &[READ[0], stored("STORE", 5), stored("STOREDIST", 5)];

const fn stored(option: &'static str, from: usize) -> KeySpec {
    key_behind(option, from, &["OW", "update"])
}

pub const ROWS: &[Spec] = &[
    spec("geosearch", -7, READONLY, Group::Geo, |cx, args| search(cx, args, Form::Search { stores: false }))
        .keys(READ)
        .doc("6.2.0", "Queries a geospatial index for members inside an area of a box or a circle."),
    spec("geosearchstore", -8, WRITE.or(DENYOOM), Group::Geo, |cx, args| {
        search(cx, args, Form::Search { stores: true })
    })
    .keys(&[key(1, &["OW", "update"]), key(2, &["RO", "access"])])
    .doc(
        "6.2.0",
        "Queries a geospatial index for members inside an area of a box or a circle, optionally stores the result.",
    ),
    spec("georadius", -6, WRITE.or(DENYOOM).or(MOVABLE_KEYS), Group::Geo, |cx, args| {
        search(cx, args, Form::Radius { member: false, may_store: true })
    })
    .keys(STORED)
    .doc(
        "3.2.0",
        "Queries a geospatial index for members within a distance from a coordinate, optionally stores the result.",
    ),
    spec("georadius_ro", -6, READONLY, Group::Geo, |cx, args| {
        search(cx, args, Form::Radius { member: false, may_store: false })
    })
    .keys(READ)
    .doc("3.2.10", "Returns members from a geospatial index that are within a distance from a coordinate."),
    spec("georadiusbymember", -5, WRITE.or(DENYOOM).or(MOVABLE_KEYS), Group::Geo, |cx, args| {
        search(cx, args, Form::Radius { member: true, may_store: true })
    })
    .keys(STORED_BY_MEMBER)
    .doc(
        "3.2.0",
        "Queries a geospatial index for members within a distance from a member, optionally stores the result.",
    ),
    spec("georadiusbymember_ro", -5, READONLY, Group::Geo, |cx, args| {
        search(cx, args, Form::Radius { member: true, may_store: false })
    })
    .keys(READ)
    .doc("3.2.10", "Returns members from a geospatial index that are within a distance from a member."),
];

/// How the centre and the area are given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// By options; the destination stands first.
    Search { stores: bool },
    /// By position: a circle around a place or a member.
    Radius { member: bool, may_store: bool },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// As they are found.
    Any,
    Nearest,
    Farthest,
}

/// A search as it was asked for. Around a member of a key that is not there nothing is known of the centre.
struct Query<'a> {
    source: Key<'a>,
    there: bool,
    to: Option<Key<'a>>,
    store_distance: bool,
    centre: Option<Place>,
    around_member: bool,
    shape: Option<Shape>,
    /// Metres in the unit of the answer.
    metres: f64,
    with_distance: bool,
    with_hash: bool,
    with_place: bool,
    order: Order,
    count: Option<usize>,
    any: bool,
}

fn length(args: &mut Args<'_>, what: &str) -> Result<f64, Refusal> {
    args.float().map_err(|_| Refusal::err(format!("need numeric {what}")))
}

impl<'a> Query<'a> {
    fn of(cx: &mut Cx<'_>, args: &mut Args<'a>, form: Form) -> Result<Query<'a>, Refusal> {
        let to = match form {
            Form::Search { stores: true } => Some(cx.key(args.bytes()?)),
            _ => None,
        };
        let source = cx.key(args.bytes()?);
        let there = zset::read(cx, source, |_, _| ())?.is_some();
        let mut query = Query {
            source,
            there,
            to,
            store_distance: false,
            centre: None,
            around_member: false,
            shape: None,
            metres: 1.0,
            with_distance: false,
            with_hash: false,
            with_place: false,
            order: Order::Any,
            count: None,
            any: false,
        };
        match form {
            Form::Radius { member: true, .. } if !there => args.skip(3),
            Form::Radius { member, .. } => {
                match member {
                    true => query.around(cx, args.bytes()?)?,
                    false => query.centre = Some(place(args)?),
                }
                query.circle(args)?;
            }
            Form::Search { .. } => {}
        }
        while args.left() > 0 {
            query.option(cx, args, form)?;
        }
        query.check(args, form)?;
        Ok(query)
    }

    fn around(&mut self, cx: &Cx<'_>, member: &[u8]) -> Result<(), Refusal> {
        self.around_member = true;
        if self.there {
            let place = place_of(zset::held(cx, self.source), member);
            self.centre = Some(place.ok_or_else(|| Refusal::err("could not decode requested zset member"))?);
        }
        Ok(())
    }

    fn circle(&mut self, args: &mut Args<'_>) -> Result<(), Refusal> {
        let radius = length(args, "radius")?;
        if radius < 0.0 {
            return Err(Refusal::err("radius cannot be negative"));
        }
        self.metres = unit(args)?;
        self.shape = Some(Shape::Circle { radius: radius * self.metres });
        Ok(())
    }

    fn square(&mut self, args: &mut Args<'_>) -> Result<(), Refusal> {
        let (width, height) = (length(args, "width")?, length(args, "height")?);
        if width < 0.0 || height < 0.0 {
            return Err(Refusal::err("height or width cannot be negative"));
        }
        self.metres = unit(args)?;
        self.shape = Some(Shape::Box { width: width * self.metres, height: height * self.metres });
        Ok(())
    }

    /// Reads one option.
    fn option(&mut self, cx: &Cx<'_>, args: &mut Args<'a>, form: Form) -> Result<(), Refusal> {
        let left = args.left() - 1;
        let searches = matches!(form, Form::Search { .. });
        let may_store = matches!(form, Form::Radius { may_store: true, .. });
        match () {
            () if args.take("withdist") => self.with_distance = true,
            () if args.take("withhash") => self.with_hash = true,
            () if args.take("withcoord") => self.with_place = true,
            () if args.take("any") => self.any = true,
            () if args.take("asc") => self.order = Order::Nearest,
            () if args.take("desc") => self.order = Order::Farthest,
            () if left >= 1 && args.take("count") => {
                let count = usize::try_from(args.int()?).ok().filter(|&count| count > 0);
                self.count = Some(count.ok_or_else(|| Refusal::err("COUNT must be > 0"))?);
            }
            () if may_store && left >= 1 && args.take("store") => {
                (self.to, self.store_distance) = (Some(cx.key(args.bytes()?)), false);
            }
            () if may_store && left >= 1 && args.take("storedist") => {
                (self.to, self.store_distance) = (Some(cx.key(args.bytes()?)), true);
            }
            () if form == Form::Search { stores: true } && args.take("storedist") => self.store_distance = true,
            () if searches && left >= 1 && (self.around_member || self.centre.is_none()) && args.take("frommember") => {
                self.around(cx, args.bytes()?)?;
            }
            () if searches && left >= 2 && !self.around_member && args.take("fromlonlat") => {
                self.centre = Some(place(args)?);
            }
            () if searches && left >= 2 && !matches!(self.shape, Some(Shape::Box { .. })) && args.take("byradius") => {
                self.circle(args)?;
            }
            () if searches && left >= 3 && !matches!(self.shape, Some(Shape::Circle { .. })) && args.take("bybox") => {
                self.square(args)?;
            }
            () => return Err(Refusal::Syntax),
        }
        Ok(())
    }

    fn check(&mut self, args: &Args<'_>, form: Form) -> Result<(), Refusal> {
        let searches = matches!(form, Form::Search { .. });
        if self.to.is_some() && (self.with_distance || self.with_hash || self.with_place) {
            let what = if searches { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            return Err(Refusal::err(format!(
                "{what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let one_of = |which: &str| {
            let name = String::from_utf8_lossy(args.at(0));
            Err(Refusal::err(format!("exactly one of {which} can be specified for {name}")))
        };
        if searches && self.centre.is_none() && !self.around_member {
            return one_of("FROMMEMBER or FROMLONLAT");
        }
        if searches && self.shape.is_none() {
            return one_of("BYRADIUS and BYBOX");
        }
        if self.any && self.count.is_none() {
            return Err(Refusal::err("the ANY argument requires COUNT argument"));
        }
        if self.count.is_some() && self.order == Order::Any && !self.any {
            self.order = Order::Nearest;
        }
        Ok(())
    }

    /// The members in the area, in order; with ANY the search ends as soon as there are enough.
    fn run<'s>(&self, set: ZsetRef<'s>) -> Vec<Hit<'s>> {
        let (Some(centre), Some(shape)) = (self.centre, self.shape) else { return Vec::new() };
        let limit = self.count.filter(|_| self.any).unwrap_or(usize::MAX);
        let mut hits = Vec::new();
        for cell in cells(centre, shape) {
            let (first, behind) = cell.scores();
            let rank = set.count(|score, _| score < first);
            for (member, score) in set.iter_from(rank).take_while(|&(_, score)| score < behind) {
                let place = Place::of_score(score);
                if let Some(distance) = shape.distance(centre, place) {
                    hits.push(Hit { member, score, place, distance });
                    if hits.len() >= limit {
                        break;
                    }
                }
            }
            if hits.len() >= limit {
                break;
            }
        }
        match self.order {
            Order::Any => {}
            Order::Nearest => hits.sort_by(|a, b| a.distance.total_cmp(&b.distance)),
            Order::Farthest => hits.sort_by(|a, b| b.distance.total_cmp(&a.distance)),
        }
        hits.truncate(self.count.unwrap_or(usize::MAX));
        hits
    }
}

/// A member that was found.
struct Hit<'s> {
    member: &'s [u8],
    score: f64,
    place: Place,
    /// From the centre, metres.
    distance: f64,
}

/// GEOSEARCH key FROMMEMBER member | FROMLONLAT longitude latitude BYRADIUS radius unit | BYBOX width height unit
/// \[ASC | DESC\] \[COUNT count \[ANY\]\] \[WITHCOORD\] \[WITHDIST\] \[WITHHASH\], GEOSEARCHSTORE destination source ..
/// \[STOREDIST\], GEORADIUS key longitude latitude radius unit .. \[STORE key | STOREDIST key\], GEORADIUSBYMEMBER key
/// member radius unit ..
fn search(cx: &mut Cx<'_>, args: &mut Args<'_>, form: Form) -> Outcome {
    let query = Query::of(cx, args, form)?;
    let set = query.there.then(|| zset::held(cx, query.source));
    let hits = set.map(|set| query.run(set)).unwrap_or_default();
    let Some(to) = query.to else {
        let hits: Vec<(Vec<u8>, f64, Place, f64)> =
            hits.iter().map(|hit| (hit.member.to_vec(), hit.score, hit.place, hit.distance)).collect();
        tell(cx, &query, &hits);
        return Ok(());
    };
    let score = |hit: &Hit<'_>| if query.store_distance { hit.distance / query.metres } else { hit.score };
    let members: Vec<(Vec<u8>, f64)> = hits.iter().map(|hit| (hit.member.to_vec(), score(hit))).collect();
    let longest = members.iter().map(|(member, _)| member.len()).max().unwrap_or(0);
    let event = if matches!(form, Form::Search { .. }) { "geosearchstore" } else { "georadiusstore" };
    replace(cx, args, to, &members, event, |len, limits| len <= limits.entries && longest <= limits.bytes)
}

fn tell(cx: &mut Cx<'_>, query: &Query<'_>, hits: &[(Vec<u8>, f64, Place, f64)]) {
    let more = [query.with_distance, query.with_hash, query.with_place].into_iter().filter(|&more| more).count();
    cx.reply().array(hits.len());
    for (member, score, place, distance) in hits {
        if more > 0 {
            cx.reply().array(more + 1);
        }
        cx.reply().bulk(member);
        if query.with_distance {
            tell_distance(cx, distance / query.metres);
        }
        if query.with_hash {
            cx.reply().int(*score as i64);
        }
        if query.with_place {
            tell_place(cx, *place);
        }
    }
}
