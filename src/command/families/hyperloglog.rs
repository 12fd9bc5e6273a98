//! HyperLogLogs: PFADD, PFCOUNT, PFMERGE and their two tools. The sketch itself is [`sketch`].

use crate::base::Millis;
use crate::command::sketch::{self, Corrupt, Op, Registers};
use crate::command::spec::{ADMIN, DENYOOM, FAST, Group, MAY_REPLICATE, READONLY, Spec, WRITE, key, keys_from, spec};
use crate::command::{Args, Class, Cx, Outcome, Refusal};
use crate::keyspace::{EntryRef, Key, StrRef};
use smallvec::SmallVec;
use std::fmt::Write;

pub const ROWS: &[Spec] = &[
    spec("pfadd", -2, WRITE.or(DENYOOM).or(FAST), Group::Hyperloglog, pfadd)
        .keys(&[key(1, &["RW", "insert"])])
        .doc("2.8.9", "Adds elements to a HyperLogLog key. Creates the key if it doesn't exist."),
    spec("pfcount", -2, READONLY.or(MAY_REPLICATE), Group::Hyperloglog, pfcount)
        .keys(&[keys_from(1, 1, &["RW", "access"])])
        .doc("2.8.9", "Returns the approximated cardinality of the set(s) observed by the HyperLogLog key(s)."),
    spec("pfmerge", -2, WRITE.or(DENYOOM), Group::Hyperloglog, pfmerge)
        .keys(&[key(1, &["RW", "access", "insert"]), keys_from(2, 1, &["RO", "access"])])
        .doc("2.8.9", "Merges one or more HyperLogLog values into a single key."),
    spec("pfdebug", 3, WRITE.or(DENYOOM).or(ADMIN), Group::Hyperloglog, pfdebug)
        .keys(&[key(2, &["RW", "access"])])
        .doc("2.8.9", "An internal command for debugging HyperLogLog values."),
    spec("pfselftest", 1, ADMIN, Group::Hyperloglog, pfselftest)
        .doc("2.8.9", "An internal command for testing HyperLogLog values."),
];

fn corrupt(_: Corrupt) -> Refusal {
    Refusal::Text("INVALIDOBJ Corrupted HLL object detected".into())
}

/// The bytes of a sketch.
fn bytes_of(entry: EntryRef<'_>) -> Result<&[u8], Refusal> {
    match entry.string().ok_or(Refusal::WrongType)? {
        StrRef::Bytes(bytes) if sketch::is_sketch(bytes) => Ok(bytes),
        _ => Err(Refusal::Text("WRONGTYPE Key is not a valid HyperLogLog string value.".into())),
    }
}

/// Puts a sketch under a key.
fn put(cx: &mut Cx<'_>, key: Key<'_>, bytes: Vec<u8>, deadline: Option<Millis>) {
    let old = cx.server.keyspace.db_mut(cx.db as usize).set_raw(key, bytes, deadline);
    old.into_iter().for_each(|old| cx.free_value(old));
}

fn sparse_max(cx: &Cx<'_>) -> usize {
    usize::try_from(cx.server.config.settings.hll_sparse_max_bytes).unwrap_or(usize::MAX)
}

/// PFADD key \[element ...\]. A dense sketch is changed in place, and none where no register rises.
fn pfadd(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args.bytes()?);
    let mut places: SmallVec<[(usize, u8); 8]> = SmallVec::new();
    while let Some(element) = args.maybe() {
        places.push(sketch::place(element));
    }
    let max = sparse_max(cx);
    let held = cx.writing(key, |entry| {
        let bytes = bytes_of(entry)?;
        let mut rises = false;
        for &(index, value) in &places {
            rises |= sketch::register(bytes, index).map_err(corrupt)? < value;
        }
        let sparse = (rises && !sketch::is_dense(bytes)).then(|| bytes.to_vec());
        Ok((rises, bytes.len(), sparse, entry.deadline()))
    });
    let changes = match held.transpose()? {
        Some((false, ..)) => 0,
        Some((true, len, None, _)) => {
            let raise = |bytes: &mut [u8]| {
                let raised = places.iter().filter(|&&place| sketch::raise_dense(bytes, place)).count();
                sketch::forget(bytes);
                raised
            };
            let mut db = cx.server.keyspace.db_mut(cx.db as usize);
            db.string_mut(key).map_or(0, |string| string.edit(len, raise))
        }
        Some((true, _, Some(mut bytes), deadline)) => {
            let raised = raise_all(&mut bytes, &places, max)?;
            put(cx, key, bytes, deadline);
            raised
        }
        None => {
            let mut bytes = sketch::empty();
            let raised = raise_all(&mut bytes, &places, max)?;
            put(cx, key, bytes, None);
            cx.born(key.bytes);
            raised + 1
        }
    };
    if changes > 0 {
        cx.changed_by(key.bytes, changes as u64);
        cx.notify(Class::String, "pfadd", key.bytes);
        cx.feed_request(args);
    }
    cx.reply().int(i64::from(changes > 0));
    Ok(())
}

/// How many rose; the cardinality is not known any more.
fn raise_all(bytes: &mut Vec<u8>, places: &[(usize, u8)], max: usize) -> Result<usize, Refusal> {
    let mut raised = 0;
    for &place in places {
        raised += usize::from(sketch::raise(bytes, place, max).map_err(corrupt)?);
    }
    sketch::forget(bytes);
    Ok(raised)
}

/// PFCOUNT key [key ...]
///
/// The count of a single key is kept in its value, which is a change as any other: counted and fed. Where this node may
/// not change anything by itself (a replica, while the disk is at fault, before it has an id of its own) it is counted
/// anew each time.
fn pfcount(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.left() > 1 {
        let mut registers = Registers::new();
        while let Some(word) = args.maybe() {
            let key = cx.key(word);
            let merged = cx.read(key, |entry, _| registers.merge(bytes_of(entry)?).map_err(corrupt));
            merged.transpose()?;
        }
        cx.reply().int(registers.count() as i64);
        return Ok(());
    }
    let key = cx.key(args.bytes()?);
    let counted = cx.read(key, |entry, _| {
        let bytes = bytes_of(entry)?;
        match sketch::cached(bytes) {
            Some(count) => Ok((count, None)),
            None => Ok((sketch::count(bytes).map_err(corrupt)?, Some(bytes.len()))),
        }
    });
    let (count, fresh) = counted.transpose()?.unwrap_or((0, None));
    if let Some(len) = fresh
        && (cx.obeys() || cx.server.may_change_unasked())
    {
        if let Some(string) = cx.server.keyspace.db_mut(cx.db as usize).string_mut(key) {
            string.edit(len, |bytes| sketch::cache(bytes, count));
        }
        cx.changed(key.bytes);
        cx.feed_request(args);
    }
    cx.reply().int(count as i64);
    Ok(())
}

/// PFMERGE destination \[source ...\]. The destination is one of the sources.
fn pfmerge(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let to = cx.key(args.at(1));
    let (mut registers, mut dense) = (Registers::new(), false);
    while let Some(word) = args.maybe() {
        let key = cx.key(word);
        let merged = cx.read(key, |entry, _| {
            let bytes = bytes_of(entry)?;
            dense |= sketch::is_dense(bytes);
            registers.merge(bytes).map_err(corrupt)
        });
        merged.transpose()?;
    }
    let held = cx.writing(to, |entry| Ok((bytes_of(entry)?.to_vec(), entry.deadline()))).transpose()?;
    let there = held.is_some();
    let (mut bytes, deadline) = held.unwrap_or_else(|| (sketch::empty(), None));
    if dense {
        sketch::make_dense(&mut bytes).map_err(corrupt)?;
    }
    let max = sparse_max(cx);
    for place in registers.values().iter().copied().enumerate().filter(|&(_, value)| value > 0) {
        sketch::raise(&mut bytes, place, max).map_err(corrupt)?;
    }
    sketch::forget(&mut bytes);
    put(cx, to, bytes, deadline);
    cx.changed(to.bytes);
    if !there {
        cx.born(to.bytes);
    }
    cx.notify(Class::String, "pfadd", to.bytes);
    cx.feed_request(args);
    cx.reply().ok();
    Ok(())
}

/// PFDEBUG GETREG | DECODE | ENCODING | TODENSE key
fn pfdebug(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (tool, key) = (args.bytes()?, cx.key(args.bytes()?));
    let held = cx.writing(key, |entry| Ok((bytes_of(entry)?.to_vec(), entry.deadline()))).transpose()?;
    let (mut bytes, deadline) = held.ok_or_else(|| Refusal::err("The specified key does not exist"))?;
    let sparse = !sketch::is_dense(&bytes);
    match tool.to_ascii_lowercase().as_slice() {
        b"encoding" => {
            cx.reply().simple(if sparse { "sparse" } else { "dense" });
            return Ok(());
        }
        b"decode" => {
            if !sparse {
                return Err(Refusal::err("HLL encoding is not sparse"));
            }
            let mut text = String::new();
            for op in sketch::ops(&bytes) {
                let space = if text.is_empty() { "" } else { " " };
                let written = match op {
                    Op::Zeros(len) => write!(text, "{space}z:{len}"),
                    Op::ManyZeros(len) => write!(text, "{space}Z:{len}"),
                    Op::Run(value, len) => write!(text, "{space}v:{value},{len}"),
                };
                written.expect("a string takes any text");
            }
            cx.reply().bulk(text.as_bytes());
            return Ok(());
        }
        b"getreg" | b"todense" => {}
        _ => {
            let name = String::from_utf8_lossy(tool);
            return Err(Refusal::err(format!("Unknown PFDEBUG subcommand '{name}'")));
        }
    }
    let mut registers = Registers::new();
    registers.merge(&bytes).map_err(corrupt)?;
    if sparse {
        sketch::make_dense(&mut bytes).map_err(corrupt)?;
        put(cx, key, bytes, deadline);
        cx.changed(key.bytes);
        cx.feed_request(args);
    }
    if tool.eq_ignore_ascii_case(b"todense") {
        cx.reply().int(i64::from(sparse));
        return Ok(());
    }
    let mut reply = cx.reply();
    reply.array(sketch::REGISTERS);
    registers.values().iter().for_each(|&value| reply.int(i64::from(value)));
    Ok(())
}

/// PFSELFTEST: counts up to a hundred thousand elements in both forms. Redis goes to ten million, and serves nobody else
/// for seconds.
fn pfselftest(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    const ELEMENTS: u64 = 100_000;
    let failed = |what: &str| Err(Refusal::err(format!("TESTFAILED {what}")));
    let (max, seed) = (sparse_max(cx), cx.server.dice.roll());
    let (mut sparse, mut dense) = (sketch::empty(), sketch::empty());
    sketch::make_dense(&mut dense).map_err(corrupt)?;
    for number in 1..=ELEMENTS {
        let place = sketch::place(&(number ^ seed).to_le_bytes());
        sketch::raise_dense(&mut dense, place);
        sketch::raise(&mut sparse, place, max).map_err(corrupt)?;
        if !10_u64.pow(number.ilog10()).eq(&number) {
            continue;
        }
        if (number as usize) < max / 2 && sketch::is_dense(&sparse) {
            return failed("sparse encoding not used");
        }
        let count = sketch::count(&dense).map_err(corrupt)?;
        if count != sketch::count(&sparse).map_err(corrupt)? {
            return failed("dense/sparse disagree");
        }
        let error = 1.04 / (sketch::REGISTERS as f64).sqrt();
        let error_max = if number == 10 { 1 } else { (error * 6.0 * number as f64).ceil() as u64 };
        if count.abs_diff(number) > error_max {
            return failed(&format!("Too big error. card:{number} abserr:{}", count.abs_diff(number)));
        }
    }
    cx.reply().ok();
    Ok(())
}
