//! Geo: sorted sets of places. Adding and looking at them; searching is in `geo_search`.

use super::zset;
use crate::command::geohash::Place;
use crate::command::spec::{DENYOOM, Group, KeySpec, READONLY, Spec, WRITE, key, spec};
use crate::command::{Args, Cx, Outcome, OwnedArgs, Refusal};
use crate::keyspace::ZsetRef;
use crate::resp::Proto;

const READ: &[KeySpec] = &[key(1, &["RO", "access"])];

pub const ROWS: &[Spec] = &[
    spec("geoadd", -5, WRITE.or(DENYOOM), Group::Geo, geoadd)
        .keys(&[key(1, &["RW", "update"])])
        .doc("3.2.0", "Adds one or more members to a geospatial index. The key is created if it doesn't exist."),
    spec("geodist", -4, READONLY, Group::Geo, geodist)
        .keys(READ)
        .doc("3.2.0", "Returns the distance between two members of a geospatial index."),
    spec("geohash", -2, READONLY, Group::Geo, geohash)
        .keys(READ)
        .doc("3.2.0", "Returns members from a geospatial index as geohash strings."),
    spec("geopos", -2, READONLY, Group::Geo, geopos)
        .keys(READ)
        .doc("3.2.0", "Returns the longitude and latitude of members from a geospatial index."),
];

/// The next two words as a place.
pub fn place(args: &mut Args<'_>) -> Result<Place, Refusal> {
    let place = Place { longitude: args.float()?, latitude: args.float()? };
    if !place.is_valid() {
        let Place { longitude, latitude } = place;
        return Err(Refusal::err(format!("invalid longitude,latitude pair {longitude:.6},{latitude:.6}")));
    }
    Ok(place)
}

/// The next word as a unit: how many metres it is.
pub fn unit(args: &mut Args<'_>) -> Result<f64, Refusal> {
    match () {
        () if args.take("m") => Ok(1.0),
        () if args.take("km") => Ok(1000.0),
        () if args.take("ft") => Ok(0.3048),
        () if args.take("mi") => Ok(1609.34),
        () => Err(Refusal::err("unsupported unit provided. please use M, KM, FT, MI")),
    }
}

/// The place of a member.
pub fn place_of(set: ZsetRef<'_>, member: &[u8]) -> Option<Place> {
    set.score(member).map(Place::of_score)
}

/// Writes a distance: four digits behind the point.
pub fn tell_distance(cx: &mut Cx<'_>, distance: f64) {
    let scaled = (distance * 10_000.0).round_ties_even() as i64;
    let (sign, scaled) = (if scaled < 0 { "-" } else { "" }, scaled.unsigned_abs());
    cx.reply().bulk(format!("{sign}{}.{:04}", scaled / 10_000, scaled % 10_000).as_bytes());
}

/// Writes a place: two numbers with at most seventeen digits behind the point.
pub fn tell_place(cx: &mut Cx<'_>, place: Place) {
    let proto = cx.proto;
    let mut reply = cx.reply();
    reply.array(2);
    for degrees in [place.longitude, place.latitude] {
        let text = format!("{degrees:.17}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        let text = if text == "-0" { "0" } else { text };
        match proto {
            Proto::Resp2 => reply.bulk(text.as_bytes()),
            Proto::Resp3 => reply.raw(format!(",{text}\r\n").as_bytes()),
        }
    }
}

/// GEOADD key \[NX | XX\] \[CH\] longitude latitude member [longitude latitude member ...]
///
/// It is ZADD with the places' scores, and is fed as that.
fn geoadd(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let mut words: Vec<Vec<u8>> = vec![b"zadd".to_vec(), args.bytes()?.to_vec()];
    let (mut missing, mut there) = (false, false);
    loop {
        match () {
            () if args.take("nx") => missing = true,
            () if args.take("xx") => there = true,
            () if args.take("ch") => {}
            () => break,
        }
        words.push(args.at(words.len()).to_vec());
    }
    if !args.left().is_multiple_of(3) || missing && there {
        return Err(Refusal::Syntax);
    }
    while args.left() > 0 {
        words.push(place(args)?.score().to_string().into_bytes());
        words.push(args.bytes()?.to_vec());
    }
    let words = OwnedArgs::of(words.iter().map(Vec::as_slice));
    zset::zadd(cx, &mut words.args())
}

/// GEODIST key member1 member2 \[M | KM | FT | MI\]
fn geodist(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, one, other) = (cx.key(args.bytes()?), args.bytes()?, args.bytes()?);
    let metres = match args.left() {
        0 => 1.0,
        1 => unit(args)?,
        _ => return Err(Refusal::Syntax),
    };
    let places = zset::read(cx, key, |set, _| Some((place_of(set, one)?, place_of(set, other)?)))?;
    match places.flatten() {
        Some((one, other)) => tell_distance(cx, one.distance(other) / metres),
        None => cx.reply().null(),
    }
    Ok(())
}

/// The places of all members that are asked for.
fn places<'a>(cx: &mut Cx<'_>, args: &mut Args<'a>) -> Result<Vec<Option<Place>>, Refusal> {
    let key = cx.key(args.bytes()?);
    let members: Vec<&'a [u8]> = args.all().skip(2).collect();
    let found = zset::read(cx, key, |set, _| members.iter().map(|member| place_of(set, member)).collect())?;
    Ok(found.unwrap_or_else(|| vec![None; members.len()]))
}

/// GEOHASH key \[member ...\]
fn geohash(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let places = places(cx, args)?;
    let mut reply = cx.reply();
    reply.array(places.len());
    for place in places {
        match place {
            Some(place) => reply.bulk(&place.geohash()),
            None => reply.null(),
        }
    }
    Ok(())
}

/// GEOPOS key \[member ...\]
fn geopos(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let places = places(cx, args)?;
    cx.reply().array(places.len());
    for place in places {
        match place {
            Some(place) => tell_place(cx, place),
            None => cx.reply().null_array(),
        }
    }
    Ok(())
}
