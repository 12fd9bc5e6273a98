//! Sorted sets: unions, intersections and differences of several, told, counted and stored. Plain sets take part with
//! score 1.

use super::zset::tell_members;
use super::zset_range::replace;
use crate::base::number::{parse_f64, parse_i64};
use crate::command::spec::{DENYOOM, Group, KeySpec, MOVABLE_KEYS, READONLY, Spec, WRITE, key, keys_counted, spec};
use crate::command::{Args, Cx, Outcome, Refusal};
use crate::keyspace::{EntryRef, Key, SetRef, Value, ZsetRef};
use ahash::RandomState;
use hashbrown::HashMap;

const COUNTED: &[KeySpec] = &[keys_counted(1, &["RO", "access"])];
const STORED: &[KeySpec] = &[key(1, &["OW", "update"]), keys_counted(2, &["RO", "access"])];

const fn told(name: &'static str, run: crate::command::spec::Run) -> Spec {
    spec(name, -3, READONLY.or(MOVABLE_KEYS), Group::SortedSet, run).keys(COUNTED)
}

const fn stored(name: &'static str, run: crate::command::spec::Run) -> Spec {
    spec(name, -4, WRITE.or(DENYOOM).or(MOVABLE_KEYS), Group::SortedSet, run).keys(STORED)
}

pub const ROWS: &[Spec] = &[
    told("zunion", |cx, args| combine(cx, args, Kind::Union, Fate::Told))
        .doc("6.2.0", "Returns the union of multiple sorted sets."),
    told("zinter", |cx, args| combine(cx, args, Kind::Inter, Fate::Told))
        .doc("6.2.0", "Returns the intersect of multiple sorted sets."),
    told("zdiff", |cx, args| combine(cx, args, Kind::Diff, Fate::Told))
        .doc("6.2.0", "Returns the difference between multiple sorted sets."),
    told("zintercard", |cx, args| combine(cx, args, Kind::Inter, Fate::Counted))
        .doc("7.0.0", "Returns the number of members of the intersect of multiple sorted sets."),
    stored("zunionstore", |cx, args| combine(cx, args, Kind::Union, Fate::Stored))
        .doc("2.0.0", "Stores the union of multiple sorted sets in a key."),
    stored("zinterstore", |cx, args| combine(cx, args, Kind::Inter, Fate::Stored))
        .doc("2.0.0", "Stores the intersect of multiple sorted sets in a key."),
    stored("zdiffstore", |cx, args| combine(cx, args, Kind::Diff, Fate::Stored))
        .doc("6.2.0", "Stores the difference of multiple sorted sets in a key."),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Union,
    Inter,
    Diff,
}

/// What becomes of the result.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Told,
    Counted,
    Stored,
}

#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Aggregate::Sum => {
                let sum = a + b;
                // inf + -inf
                if sum.is_nan() { 0.0 } else { sum }
            }
            Aggregate::Min => {
                if b < a {
                    b
                } else {
                    a
                }
            }
            Aggregate::Max => {
                if b > a {
                    b
                } else {
                    a
                }
            }
        }
    }
}

/// A source of members.
#[derive(Clone, Copy)]
enum Source<'a> {
    Set(SetRef<'a>),
    Zset(ZsetRef<'a>),
}

impl<'a> Source<'a> {
    fn of(entry: EntryRef<'a>) -> Option<Source<'a>> {
        match entry.value() {
            Value::Set(set) => Some(Source::Set(set)),
            Value::Zset(set) => Some(Source::Zset(set)),
            _ => None,
        }
    }

    fn len(self) -> usize {
        match self {
            Source::Set(set) => set.len(),
            Source::Zset(set) => set.len(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Source::Set(set) => set.contains(member).then_some(1.0),
            Source::Zset(set) => set.score(member),
        }
    }

    fn iter(self) -> impl Iterator<Item = (&'a [u8], f64)> {
        let (plain, ranked) = match self {
            Source::Set(set) => (Some(set.iter()), None),
            Source::Zset(set) => (None, Some(set.iter_from(0))),
        };
        plain.into_iter().flatten().map(|member| (member, 1.0)).chain(ranked.into_iter().flatten())
    }
}

/// The options behind the keys.
struct Options {
    weights: Vec<f64>,
    aggregate: Aggregate,
    scores: bool,
    limit: usize,
}

impl Options {
    fn of(args: &mut Args<'_>, keys: usize, kind: Kind, fate: Fate) -> Result<Options, Refusal> {
        let mut options =
            Options { weights: vec![1.0; keys], aggregate: Aggregate::Sum, scores: false, limit: usize::MAX };
        let weighs = kind != Kind::Diff && fate != Fate::Counted;
        while args.left() > 0 {
            if weighs && args.left() > keys && args.take("weights") {
                for weight in &mut options.weights {
                    let word = parse_f64(args.bytes()?);
                    *weight = word.ok_or_else(|| Refusal::err("weight value is not a float"))?;
                }
            } else if weighs && args.left() > 1 && args.take("aggregate") {
                options.aggregate = match () {
                    () if args.take("sum") => Aggregate::Sum,
                    () if args.take("min") => Aggregate::Min,
                    () if args.take("max") => Aggregate::Max,
                    () => return Err(Refusal::Syntax),
                };
            } else if fate == Fate::Told && args.take("withscores") {
                options.scores = true;
            } else if fate == Fate::Counted && args.left() > 1 && args.take("limit") {
                let limit = args.int().ok().filter(|&limit| limit >= 0);
                match limit.ok_or_else(|| Refusal::err("LIMIT can't be negative"))? {
                    0 => options.limit = usize::MAX,
                    limit => options.limit = limit as usize,
                }
            } else {
                return Err(Refusal::Syntax);
            }
        }
        Ok(options)
    }
}

/// ZUNION numkeys key [key ...] \[WEIGHTS weight ..\] \[AGGREGATE SUM | MIN | MAX\] \[WITHSCORES\], ZINTER, ZDIFF,
/// ZINTERCARD numkeys key [key ...] \[LIMIT limit\]; with a destination in front, ZUNIONSTORE, ZINTERSTORE, ZDIFFSTORE
fn combine(cx: &mut Cx<'_>, args: &mut Args<'_>, kind: Kind, fate: Fate) -> Outcome {
    let to = match fate {
        Fate::Stored => Some(cx.key(args.bytes()?)),
        _ => None,
    };
    let count = parse_i64(args.bytes()?).ok_or(Refusal::NotInteger)?;
    if count < 1 {
        let name = cx.spec.full_name();
        return Err(Refusal::err(format!("at least 1 input key is needed for '{name}' command")));
    }
    if count > args.left() as i64 {
        return Err(Refusal::Syntax);
    }
    let mut keys: Vec<Option<Key<'_>>> = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let key = cx.key(args.bytes()?);
        let fits = cx.read(key, |entry, _| Source::of(entry).is_some());
        if fits == Some(false) {
            return Err(Refusal::WrongType);
        }
        keys.push(fits.map(|_| key));
    }
    let options = Options::of(args, keys.len(), kind, fate)?;
    let members = {
        let db = cx.server.keyspace.db(cx.db as usize);
        let source = |key: &Option<Key<'_>>| key.and_then(|key| db.get(key)).and_then(Source::of);
        let sources: Vec<(Option<Source<'_>>, f64)> =
            keys.iter().map(source).zip(options.weights.iter().copied()).collect();
        if fate == Fate::Counted {
            let count = intersection(&sources, &options).take(options.limit).count();
            cx.reply().int(count as i64);
            return Ok(());
        }
        let mut members: Vec<(Vec<u8>, f64)> = match kind {
            Kind::Union => union(&sources, &options),
            Kind::Inter => intersection(&sources, &options).map(|(name, score)| (name.to_vec(), score)).collect(),
            Kind::Diff => difference(&sources),
        };
        members.sort_unstable_by(|a, b| a.1.partial_cmp(&b.1).unwrap_or(std::cmp::Ordering::Equal).then(a.0.cmp(&b.0)));
        members
    };
    match to {
        None => {
            let (proto, told) = (cx.proto, members.iter().map(|(member, score)| (&member[..], *score)));
            tell_members(&mut cx.reply(), proto, options.scores, members.len(), told);
            Ok(())
        }
        Some(to) => {
            let longest = members.iter().map(|(member, _)| member.len()).max().unwrap_or(0);
            replace(cx, args, to, &members, cx.spec.name, |len, limits| {
                len <= limits.entries && longest <= limits.bytes
            })
        }
    }
}

fn weighed(score: f64, weight: f64) -> f64 {
    let score = score * weight;
    // inf * 0
    if score.is_nan() { 0.0 } else { score }
}

fn union(sources: &[(Option<Source<'_>>, f64)], options: &Options) -> Vec<(Vec<u8>, f64)> {
    // From the smallest to the largest, as Redis adds them up: sums of floats depend on it.
    let mut sources: Vec<(Source<'_>, f64)> =
        sources.iter().filter_map(|&(source, weight)| Some((source?, weight))).collect();
    sources.sort_by_key(|(source, _)| source.len());
    let mut scores = HashMap::<&[u8], f64, RandomState>::default();
    for (source, weight) in sources {
        for (member, score) in source.iter() {
            let score = weighed(score, weight);
            scores.entry(member).and_modify(|held| *held = options.aggregate.of(*held, score)).or_insert(score);
        }
    }
    scores.into_iter().map(|(member, score)| (member.to_vec(), score)).collect()
}

fn intersection<'s>(
    sources: &[(Option<Source<'s>>, f64)],
    options: &Options,
) -> impl Iterator<Item = (&'s [u8], f64)> + use<'s> {
    let there = sources.iter().map(|&(source, weight)| Some((source?, weight)));
    let mut there: Vec<(Source<'s>, f64)> = there.collect::<Option<_>>().unwrap_or_default();
    there.sort_by_key(|(source, _)| source.len());
    let aggregate = options.aggregate;
    let first = there.first().copied();
    let members = first.into_iter().flat_map(|(source, weight)| source.iter().map(move |it| (it, weight)));
    members.filter_map(move |((member, score), weight)| {
        let mut sum = weighed(score, weight);
        for (other, weight) in &there[1..] {
            sum = aggregate.of(sum, other.score(member)? * weight);
        }
        Some((member, sum))
    })
}

fn difference(sources: &[(Option<Source<'_>>, f64)]) -> Vec<(Vec<u8>, f64)> {
    let Some(&(Some(first), _)) = sources.first() else { return Vec::new() };
    let others: Vec<Source<'_>> = sources[1..].iter().filter_map(|&(source, _)| source).collect();
    let left = first.iter().filter(|(member, _)| others.iter().all(|other| other.score(member).is_none()));
    left.map(|(member, score)| (member.to_vec(), score)).collect()
}
