//! SORT and SORT_RO: the elements of a list, set or sorted set in an order that other keys may give.

use super::list;
use crate::base::number::parse_f64;
use crate::command::spec::{
    Access, Categories, DENYOOM, Flags, Group, KeySpec, MOVABLE_KEYS, READONLY, Spec, WRITE, key, key_behind,
    keys_made, spec,
};
use crate::command::{Args, Class, Cx, Outcome, Refusal};
use crate::keyspace::{EntryRef, Value};
use std::cmp::Ordering;
use std::ops::Range;

const STORING: Flags = WRITE.or(DENYOOM).or(MOVABLE_KEYS);
const READ: &[KeySpec] = &[key(1, &["RO", "access"]), keys_made(&["RO", "access"])];
const STORE: &[KeySpec] = &[READ[0], READ[1], key_behind("STORE", 0, &["OW", "update"])];
const TYPES: Categories = Categories::SET.or(Categories::SORTEDSET).or(Categories::LIST).or(Categories::DANGEROUS);

pub const ROWS: &[Spec] = &[
    spec("sort", -2, STORING, Group::Generic, |cx, args| sort(cx, args, true))
        .keys(STORE)
        .acl(TYPES)
        .doc("1.0.0", "Sorts the elements in a list, a set, or a sorted set, optionally storing the result."),
    spec("sort_ro", -2, READONLY.or(MOVABLE_KEYS), Group::Generic, |cx, args| sort(cx, args, false))
        .keys(READ)
        .acl(TYPES)
        .doc("7.0.0", "Returns the sorted elements of a list, a set, or a sorted set."),
];

/// How it is to be sorted, and what is to be shown.
struct Wish<'a> {
    descending: bool,
    alpha: bool,
    limit: Option<(i64, i64)>,
    by: Option<&'a [u8]>,
    gets: Vec<&'a [u8]>,
    store: Option<&'a [u8]>,
}

impl<'a> Wish<'a> {
    /// `may_follow`: whether the client may read any key that a pattern leads to.
    fn read(args: &mut Args<'a>, may_store: bool, may_follow: bool) -> Result<Wish<'a>, Refusal> {
        let mut wish = Wish { descending: false, alpha: false, limit: None, by: None, gets: Vec::new(), store: None };
        while args.left() > 0 {
            if args.take("asc") {
                wish.descending = false;
            } else if args.take("desc") {
                wish.descending = true;
            } else if args.take("alpha") {
                wish.alpha = true;
            } else if args.left() > 2 && args.take("limit") {
                wish.limit = Some((args.int()?, args.int()?));
            } else if may_store && args.left() > 1 && args.take("store") {
                wish.store = args.maybe();
            } else if args.left() > 1 && args.take("by") {
                wish.by = args.maybe();
                if !may_follow && wish.by.is_some_and(|pattern| pattern.contains(&b'*')) {
                    return Err(Refusal::err("BY option of SORT denied due to insufficient ACL permissions."));
                }
            } else if args.left() > 1 && args.take("get") {
                wish.gets.extend(args.maybe());
                if !may_follow {
                    return Err(Refusal::err("GET option of SORT denied due to insufficient ACL permissions."));
                }
            } else {
                return Err(Refusal::Syntax);
            }
        }
        Ok(wish)
    }

    /// Which of so many elements are wanted.
    fn range(&self, len: usize) -> Range<usize> {
        let Some((offset, count)) = self.limit else { return 0..len };
        let start = (offset.max(0) as usize).min(len);
        let end = if count < 0 { len } else { start.saturating_add(count as usize).min(len) };
        start..end
    }
}

/// What an element is sorted by.
enum Weight {
    Number(f64),
    /// `None` where the key that `BY` names is not there.
    Text(Option<Vec<u8>>),
    Itself,
}

/// SORT key \[BY pattern\] \[LIMIT offset count\] \[GET pattern [GET pattern ...]\] \[ASC | DESC\] \[ALPHA\]
/// \[STORE destination\]
fn sort(cx: &mut Cx<'_>, args: &mut Args<'_>, may_store: bool) -> Outcome {
    let key = args.bytes()?;
    let may_follow = may_read_all(cx, args);
    let mut wish = Wish::read(args, may_store, may_follow)?;
    let mut unsorted = wish.by.is_some_and(|pattern| !pattern.contains(&b'*'));
    let storing = wish.store.is_some();
    let ordered = storing || cx.server.scripting.runs();
    let found = look(cx, key, storing, |entry| match entry.value() {
        Value::List(list) => {
            let wanted = if unsorted { wish.range(list.len()) } else { 0..list.len() };
            Ok(match unsorted && wish.descending {
                true => list.iter_back().skip(wanted.start).take(wanted.len()).map(<[u8]>::to_vec).collect(),
                false => list.iter_from(wanted.start).take(wanted.len()).map(<[u8]>::to_vec).collect(),
            })
        }
        Value::Set(set) => {
            // A stored order has to be the same on all nodes, and a set has none. Scripts are given the same, as in Redis.
            if unsorted && ordered {
                (unsorted, wish.alpha, wish.by) = (false, true, None);
            }
            let wanted = if unsorted { wish.range(set.len()) } else { 0..set.len() };
            Ok(set.iter().skip(wanted.start).take(wanted.len()).map(<[u8]>::to_vec).collect())
        }
        Value::Zset(set) => {
            let len = set.len();
            let wanted = if unsorted { wish.range(len) } else { 0..len };
            let member = |(member, _): (&[u8], f64)| member.to_vec();
            Ok(match unsorted && wish.descending {
                true => set.iter_below(len - wanted.start).take(wanted.len()).map(member).collect(),
                false => set.iter_from(wanted.start).take(wanted.len()).map(member).collect(),
            })
        }
        Value::Str(_) | Value::Hash(_) | Value::Stream(_) => Err(Refusal::WrongType),
    });
    let mut elements: Vec<Vec<u8>> = found.transpose()?.unwrap_or_default();
    if !unsorted {
        elements = sorted(cx, elements, &wish)?;
    }
    let shown = show(cx, elements, &wish);
    match wish.store {
        Some(to) => store(cx, args, to, shown),
        None => {
            let mut reply = cx.reply();
            reply.array(shown.len());
            for element in &shown {
                match element {
                    Some(element) => reply.bulk(element),
                    None => reply.null(),
                }
            }
        }
    }
    Ok(())
}

/// Whether the user may use this command with every key there is.
fn may_read_all(cx: &mut Cx<'_>, args: &Args<'_>) -> bool {
    let (spec, client) = (cx.spec, &cx.server.clients[cx.slot]);
    cx.obeys() || client.may_all || cx.server.acl.user(client.user).may_with_every_key(spec, args, Access::READ)
}

/// Looks a key up; for a result that is stored as a write does, so that what is due goes for all nodes.
fn look<R>(cx: &mut Cx<'_>, key: &[u8], storing: bool, found: impl FnOnce(EntryRef<'_>) -> R) -> Option<R> {
    let key = cx.key(key);
    if storing { cx.writing(key, found) } else { cx.read(key, |entry, _| found(entry)) }
}

/// The value of the key, or of the field of the hash, that a pattern names for an element.
fn named(cx: &mut Cx<'_>, pattern: &[u8], element: &[u8], storing: bool) -> Option<Vec<u8>> {
    if pattern == b"#" {
        return Some(element.to_vec());
    }
    let star = memchr::memchr(b'*', pattern)?;
    let (head, tail) = (&pattern[..star], &pattern[star + 1..]);
    let arrow = memchr::memmem::find(tail, b"->").filter(|at| at + 2 < tail.len());
    let (tail, field) = match arrow {
        Some(at) => (&tail[..at], Some(&tail[at + 2..])),
        None => (tail, None),
    };
    let name = [head, element, tail].concat();
    let value = look(cx, &name, storing, |entry| match (entry.value(), field) {
        (Value::Str(string), None) => Some(string.bytes(&mut Default::default()).to_vec()),
        (Value::Hash(hash), Some(field)) => hash.get(field).map(<[u8]>::to_vec),
        _ => None,
    });
    value.flatten()
}

/// A number as C reads it: blanks in front do not matter, and nothing at all is zero.
fn number(text: &[u8]) -> Result<f64, Refusal> {
    let text = text.trim_ascii_start();
    let number = if text.is_empty() { Some(0.0) } else { parse_f64(text) };
    number.ok_or_else(|| Refusal::err("One or more scores can't be converted into double"))
}

/// The wanted range of the elements in order.
fn sorted(cx: &mut Cx<'_>, elements: Vec<Vec<u8>>, wish: &Wish<'_>) -> Result<Vec<Vec<u8>>, Refusal> {
    let mut weighed = Vec::with_capacity(elements.len());
    for element in elements {
        let weight = match (wish.by, wish.alpha) {
            (None, true) => Weight::Itself,
            (None, false) => Weight::Number(number(&element)?),
            (Some(pattern), alpha) => match (named(cx, pattern, &element, wish.store.is_some()), alpha) {
                (text, true) => Weight::Text(text),
                (Some(text), false) => Weight::Number(number(&text)?),
                (None, false) => Weight::Number(0.0),
            },
        };
        weighed.push((weight, element));
    }
    weighed.sort_by(|(weight, element), (other_weight, other)| {
        let order = match (weight, other_weight) {
            (Weight::Number(a), Weight::Number(b)) => {
                a.partial_cmp(b).unwrap_or(Ordering::Equal).then_with(|| element.cmp(other))
            }
            (Weight::Text(a), Weight::Text(b)) => a.cmp(b),
            _ => element.cmp(other),
        };
        if wish.descending { order.reverse() } else { order }
    });
    let wanted = wish.range(weighed.len());
    Ok(weighed.drain(wanted).map(|(_, element)| element).collect())
}

/// What is shown of the elements.
fn show(cx: &mut Cx<'_>, elements: Vec<Vec<u8>>, wish: &Wish<'_>) -> Vec<Option<Vec<u8>>> {
    if wish.gets.is_empty() {
        return elements.into_iter().map(Some).collect();
    }
    let mut shown = Vec::with_capacity(elements.len() * wish.gets.len());
    for element in &elements {
        for pattern in &wish.gets {
            shown.push(named(cx, pattern, element, wish.store.is_some()));
        }
    }
    shown
}

/// Makes a list of what is shown, over whatever was there; nothing leaves no key.
fn store(cx: &mut Cx<'_>, args: &Args<'_>, to: &[u8], shown: Vec<Option<Vec<u8>>>) {
    let elements: Vec<Vec<u8>> = shown.into_iter().map(Option::unwrap_or_default).collect();
    let key = cx.key(to);
    let lazy = cx.server.config.settings.lazyfree_lazy_server_del;
    let replaced = cx.is_there(key) && cx.remove(key, lazy);
    if !elements.is_empty() {
        list::make(cx, key, &elements);
        if !replaced {
            cx.born(key.bytes);
        }
        cx.notify(Class::List, "sortstore", key.bytes);
    } else if replaced {
        cx.notify(Class::Generic, "del", key.bytes);
    }
    if replaced || !elements.is_empty() {
        cx.feed_request(args);
    }
    cx.reply().int(elements.len() as i64);
}
