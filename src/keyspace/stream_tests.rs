//! Streams against a plain model: entries in a map, groups in maps. `collection_tests` takes them through checkpoints,
//! renames and copies.

use super::*;
use crate::base::{Dice, StreamId};
use std::collections::BTreeMap;

/// The fields of an entry, each with its value.
type Words = Vec<(Vec<u8>, Vec<u8>)>;

/// A stream, the simple way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamModel {
    head: StreamHead,
    entries: BTreeMap<StreamId, Words>,
    groups: BTreeMap<Vec<u8>, GroupModel>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct GroupModel {
    last: StreamId,
    read: Option<u64>,
    /// When each consumer last got something.
    consumers: BTreeMap<Vec<u8>, i64>,
    /// Who has it, since when, how often.
    pending: BTreeMap<StreamId, (Vec<u8>, i64, u64)>,
}

fn words(dice: &mut Dice) -> Words {
    let fields: &[&[u8]] = match dice.below(6) {
        0 => &[b"temperature", b"12"],
        1 => &[b"other"],
        _ => &[b"field", b"name"],
    };
    let value = |dice: &mut Dice| match dice.below(30) {
        0 => vec![b'x'; dice.below(6000) as usize],
        1..10 => (dice.below(1 << 40) as i64 - 1000).to_string().into_bytes(),
        _ => format!("value {}", dice.below(1000)).into_bytes(),
    };
    fields.iter().map(|field| (field.to_vec(), value(dice))).collect()
}

/// Changes a stream, some entries at a time.
pub fn change(dice: &mut Dice, db: &mut DbMut<'_>, key: Key<'_>, model: &mut StreamModel) {
    let mut stream = db.stream_or_new(key);
    let limits = NodeLimits { bytes: 4096, entries: [3, 100][dice.below(2) as usize] };
    match dice.below(20) {
        0..8 => {
            let many = if dice.one_in(10) { dice.below(1000) } else { dice.below(12) };
            for _ in 0..=many {
                let (ms, seq) = (model.head.last.ms + dice.below(3), model.head.last.seq + 1 + dice.below(2));
                let (id, words) = (StreamId { ms, seq }, words(dice));
                stream.add(limits, id, words.len(), |index| (&words[index].0, &words[index].1));
                model.entries.insert(id, words);
                let head = &mut model.head;
                (head.length, head.added, head.last) = (head.length + 1, head.added + 1, id);
            }
        }
        8..10 => {
            for id in some(dice, model.entries.keys()) {
                assert_eq!(stream.delete(id), model.entries.remove(&id).is_some());
                model.head.max_deleted = model.head.max_deleted.max(id);
            }
            assert!(!stream.delete(StreamId { ms: 0, seq: 0 }));
        }
        10 | 11 => {
            let keep = match (dice.one_in(2), some(dice, model.entries.keys()).first()) {
                (true, Some(&id)) => Keep::From(id),
                _ => Keep::Length(dice.below(model.entries.len() as u64 + 3)),
            };
            let nodes_only = dice.one_in(2);
            let gone = stream.trim(&Trim { keep, nodes_only, limit: 0 });
            let exact = match keep {
                Keep::From(id) => model.entries.range(..id).count() as u64,
                Keep::Length(length) => (model.entries.len() as u64).saturating_sub(length),
            };
            assert!(gone == exact || nodes_only && gone < exact);
            (0..gone).for_each(|_| drop(model.entries.pop_first()));
        }
        12 => {
            let name = format!("group:{}", dice.below(4)).into_bytes();
            let fresh = GroupModel { last: model.head.first, read: dice.one_in(2).then_some(3), ..Default::default() };
            if dice.one_in(4) {
                assert_eq!(stream.remove_group(&name), model.groups.remove(&name).is_some());
            } else {
                assert_eq!(stream.add_group(&name, fresh.last, fresh.read), !model.groups.contains_key(&name));
                model.groups.entry(name).or_insert(fresh);
            }
        }
        _ => {
            let Some((name, twin)) = model.groups.iter_mut().next() else { return };
            let mut group = stream.group(name).expect("it is there");
            change_group(dice, &mut group, twin, model.entries.keys().copied().collect());
        }
    }
    model.head.length = model.entries.len() as u64;
    model.head.first = model.entries.keys().next().copied().unwrap_or_default();
    assert_eq!(stream.get().head(), model.head);
}

fn change_group(dice: &mut Dice, group: &mut GroupMut<'_>, twin: &mut GroupModel, ids: Vec<StreamId>) {
    let name = format!("consumer {}", dice.below(5)).into_bytes();
    let now = dice.below(1 << 41) as i64;
    match dice.below(10) {
        0..6 => {
            let number = group.get().consumer_number(&name).unwrap_or_else(|| group.add_consumer(&name, now, -1));
            group.serve(number, now);
            twin.consumers.insert(name.clone(), now);
            for id in some(dice, ids.iter()) {
                let count = dice.below(300);
                group.put(Pending { id, delivered: now, count, consumer: number });
                twin.pending.insert(id, (name.clone(), now, count));
            }
        }
        6..8 => {
            for id in some(dice, twin.pending.keys()) {
                assert_eq!(group.take(id), twin.pending.remove(&id).is_some());
            }
            assert!(!group.take(StreamId::MAX));
        }
        8 => {
            let held = twin.pending.values().filter(|(consumer, ..)| *consumer == name).count();
            let there = twin.consumers.remove(&name).map(|_| held);
            assert_eq!(group.remove_consumer(&name), there);
            twin.pending.retain(|_, (consumer, ..)| *consumer != name);
        }
        _ => {
            (twin.last, twin.read) = (StreamId { ms: dice.below(100), seq: 1 }, Some(dice.below(50)));
            group.set(twin.last, twin.read);
        }
    }
}

/// A run of these, a single one, or a few here and there.
fn some<'i>(dice: &mut Dice, ids: impl Iterator<Item = &'i StreamId>) -> Vec<StreamId> {
    let ids: Vec<StreamId> = ids.copied().collect();
    let start = dice.below(ids.len() as u64 + 1) as usize;
    match dice.below(3) {
        0 => ids[start..].iter().take(dice.below(400) as usize).copied().collect(),
        1 => ids[start..].first().copied().into_iter().collect(),
        _ => ids.into_iter().filter(|_| dice.one_in(7)).collect(),
    }
}

/// The stream is what the model is.
pub fn check(stream: StreamRef<'_>, model: &StreamModel) {
    type Read = (StreamId, Vec<(Vec<u8>, Vec<u8>)>);
    let read = |entry: StreamEntry<'_>| -> Read {
        (entry.id, entry.pairs().map(|(name, value)| (name.to_vec(), value.to_vec())).collect())
    };
    let all = StreamId::MIN..=StreamId::MAX;
    assert_eq!((stream.head(), stream.live()), (model.head, model.head.length));
    let expected = || model.entries.iter().map(|(&id, words)| (id, words.clone()));
    assert!(stream.range(all.clone()).map(read).eq(expected()));
    assert!(stream.range_back(all).map(read).eq(expected().rev()));
    let ids: Vec<StreamId> = model.entries.keys().copied().collect();
    for at in [ids.len() / 3, ids.len() / 2, ids.len().saturating_sub(1)] {
        let Some(&id) = ids.get(at) else { continue };
        let range = id..=StreamId { ms: id.ms + 2, seq: u64::MAX };
        let expected = || model.entries.range(range.clone()).map(|(&id, _)| id);
        assert!(stream.range(range.clone()).map(|entry| entry.id).eq(expected()));
        assert!(stream.range_back(range.clone()).map(|entry| entry.id).eq(expected().rev()));
        assert!(stream.get(id).is_some());
    }
    let groups: BTreeMap<Vec<u8>, GroupModel> =
        stream.groups().iter().map(|group| (group.name.to_vec(), shown(group))).collect();
    assert_eq!(groups, model.groups);
}

fn shown(group: &Group) -> GroupModel {
    let name = |number: u32| group.consumer(number).expect("a consumer").name.to_vec();
    let shown = |pending: &Pending| (pending.id, (name(pending.consumer), pending.delivered, pending.count));
    let pending: BTreeMap<_, _> = group.pending_from(StreamId::MIN).map(shown).collect();
    assert_eq!(pending.len() as u64, group.pending());
    let own = group.consumers().flat_map(|(number, _)| group.pending_of(number, StreamId::MIN)).map(shown);
    assert_eq!(own.collect::<BTreeMap<_, _>>(), pending);
    assert!(group.pending_from(StreamId::MIN).map(|pending| pending.id).is_sorted());
    if let Some((&id, _)) = pending.iter().nth(pending.len() / 2) {
        assert!(group.pending_from(id).map(|pending| pending.id).eq(pending.range(id..).map(|(&id, _)| id)));
    }
    let consumers = group.consumers().map(|(_, consumer)| (consumer.name.to_vec(), consumer.active)).collect();
    GroupModel { last: group.last, read: group.read, consumers, pending }
}

fn id(ms: u64) -> StreamId {
    StreamId { ms, seq: 0 }
}

/// Appending rewrites the trunk and the last node, acknowledging the trunk's neighbours not at all.
#[test]
fn a_change_of_a_large_stream_rewrites_its_part() {
    let mut ks = Keyspace::new(1, [1, 2, 3, 4]);
    let key = ks.key(b"large");
    let limits = NodeLimits { bytes: 4096, entries: 100 };
    let add = |ks: &mut Keyspace, ms: u64| {
        ks.db_mut(0).stream_or_new(key).add(limits, id(ms), 1, |_| (b"field", b"a value of some bytes"));
    };
    (1..=20_000).for_each(|ms| add(&mut ks, ms));
    let mut db = ks.db_mut(0);
    let mut stream = db.stream_or_new(key);
    stream.add_group(b"group", StreamId::MIN, None);
    let mut group = stream.group(b"group").expect("made above");
    let consumer = group.add_consumer(b"consumer", 0, -1);
    (1..=20_000).for_each(|ms| group.put(Pending { id: id(ms), delivered: 7, count: 1, consumer }));
    let take = |ks: &mut Keyspace| {
        let mut changes = Vec::new();
        ks.checkpoint_begin();
        while ks.checkpoint_slice(10_000, &mut changes) == Slice::More {}
        ks.checkpoint_end();
        (changes.len(), changes.iter().map(Change::bytes).max().unwrap_or(0))
    };
    let (pages, largest) = take(&mut ks);
    assert!(pages > 350 && largest < 8 * 1024, "{pages} pages of up to {largest} bytes");
    assert_eq!(take(&mut ks), (0, 0));
    add(&mut ks, 20_001);
    assert_eq!(take(&mut ks).0, 2);
    ks.db_mut(0).stream_or_new(key).group(b"group").expect("it is there").take(id(777));
    assert_eq!(take(&mut ks).0, 1);
    ks.db_mut(0).stream_or_new(key).group(b"group").expect("it is there").see(consumer, 99);
    assert_eq!(take(&mut ks), (0, 0));
}

/// Small streams take little besides their bytes, and stay small.
#[test]
fn small_streams_are_small() {
    let mut ks = Keyspace::new(1, [1, 2, 3, 4]);
    let (key, limits) = (ks.key(b"small"), NodeLimits { bytes: 4096, entries: 100 });
    for ms in 1..=10 {
        ks.db_mut(0).stream_or_new(key).add(limits, id(ms), 1, |_| (b"field", b"0123456789"));
    }
    let memory = ks.db(0).get(key).expect("it is there").memory();
    assert!(memory < 400, "{memory} bytes");
}
