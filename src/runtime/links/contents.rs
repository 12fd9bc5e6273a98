//! The contents of a checkpoint as RDB: record by record, and a large collection page by page, so that no more than a page
//! is in memory.

use crate::base::Millis;
use crate::command::stream_transfer;
use crate::keyspace::{Kind, LeafPage, Manifest, PageReader, Record, RecordValue, StreamPage, StreamPart, Value};
use crate::rdb::{self, Encoder, Shape};
use crate::store::Image;
use std::collections::BTreeMap;

/// Empties the buffer when it has grown.
type Sink<'a> = &'a mut dyn FnMut(&mut Vec<u8>) -> Result<(), String>;

/// Writes all keys of all databases.
pub fn write(
    manifest: &Manifest,
    image: &Image<'_>,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
    sink: Sink<'_>,
) -> Result<(), String> {
    let databases: BTreeMap<u32, u32> = (0u32..).zip(&manifest.spaces).map(|(db, &space)| (space, db)).collect();
    let mut selected = None;
    for page in image.pages() {
        let (space, _, bytes) = page.map_err(text)?;
        // A space that is no database's is a large collection's: it is written with its key.
        let Some(&db) = databases.get(&space) else { continue };
        let mut reader = PageReader::new(&bytes).map_err(text)?;
        while let Some(record) = reader.next_record().map_err(text)? {
            if selected != Some(db) {
                encoder.select(db, 0, 0, out);
                selected = Some(db);
            }
            item(image, space, &record, encoder, out, sink)?;
            sink(out)?;
        }
    }
    Ok(())
}

fn item(
    image: &Image<'_>,
    space: u32,
    record: &Record<'_>,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
    sink: Sink<'_>,
) -> Result<(), String> {
    let Record { key, deadline, .. } = *record;
    match record.value {
        RecordValue::Int(number) => encoder.string(key, deadline, number.to_string().as_bytes(), out),
        RecordValue::Bytes(bytes) => encoder.string(key, deadline, bytes, out),
        RecordValue::Blob { blob, .. } => encoder.string(key, deadline, &read_blob(image, space, blob)?, out),
        RecordValue::Small { kind, bytes } => small(key, deadline, Value::of_small(kind, bytes), encoder, out),
        RecordValue::Large { kind, space, .. } => {
            let shape = match kind {
                Kind::List => return chain(image, space, record, encoder, out, sink),
                Kind::Set => Shape::Set,
                Kind::Zset => Shape::Zset,
                Kind::Hash => Shape::Hash,
                Kind::Stream => return stream(image, space, record, encoder, out, sink),
                Kind::Str => return Err("a large collection that is a string".into()),
            };
            by_hash(image, space, key, deadline, shape, encoder, out, sink)?;
        }
    }
    Ok(())
}

fn small(key: &[u8], deadline: Option<Millis>, value: Value<'_>, encoder: &mut Encoder, out: &mut Vec<u8>) {
    match value {
        Value::Str(_) => {}
        Value::List(list) => {
            encoder.open(key, deadline, Shape::List, list.len() as u64, out);
            encoder.elements(out, |to| list.iter_from(0).for_each(|element| to.element(element)));
        }
        Value::Set(set) => {
            encoder.open(key, deadline, Shape::Set, set.len() as u64, out);
            encoder.elements(out, |to| set.iter().for_each(|member| to.element(member)));
        }
        Value::Zset(set) => {
            encoder.open(key, deadline, Shape::Zset, set.len() as u64, out);
            encoder.elements(out, |to| set.iter_from(0).for_each(|(member, score)| to.scored(member, score)));
        }
        Value::Stream(stream) => {
            encoder.open(key, deadline, Shape::Stream, stream.node_count() as u64, out);
            encoder.elements(out, |to| {
                stream_transfer::nodes(stream, |part| to.part(&part));
                stream_transfer::rest(&stream.head(), stream.groups(), |part| to.part(&part));
            });
        }
        Value::Hash(hash) => {
            encoder.open(key, deadline, Shape::Hash, hash.len() as u64, out);
            encoder.elements(out, |to| hash.iter().for_each(|(field, value)| to.pair(field, value)));
        }
    }
}

/// A large collection whose pages hold it by hash: in front of the elements stands how many they are.
#[expect(clippy::too_many_arguments, reason = "a key on its way from one format to the other")]
fn by_hash(
    image: &Image<'_>,
    space: u32,
    key: &[u8],
    deadline: Option<Millis>,
    shape: Shape,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
    sink: Sink<'_>,
) -> Result<(), String> {
    let mut elements = 0;
    for page in image.pages_of(space) {
        elements += PageReader::new(&page.map_err(text)?.1).map_err(text)?.records_left() as u64;
    }
    encoder.open(key, deadline, shape, elements, out);
    for page in image.pages_of(space) {
        let (_, bytes) = page.map_err(text)?;
        let mut reader = PageReader::new(&bytes).map_err(text)?;
        while let Some(record) = reader.next_record().map_err(text)? {
            let blob;
            let value = match record.value {
                RecordValue::Bytes(bytes) => bytes,
                RecordValue::Blob { blob: id, .. } => {
                    blob = read_blob(image, space, id)?;
                    &blob
                }
                _ => return Err(format!("an element of another form in space {space}")),
            };
            let score = <[u8; 8]>::try_from(value).map(f64::from_le_bytes);
            if shape == Shape::Zset && score.is_err() {
                return Err(format!("a member without a score in space {space}"));
            }
            encoder.elements(out, |to| match (shape, score) {
                (Shape::Zset, Ok(score)) => to.scored(record.key, score),
                (Shape::Hash, _) => to.pair(record.key, value),
                _ => to.element(record.key),
            });
            sink(out)?;
        }
    }
    Ok(())
}

/// A large list: its leaves in the order of their labels.
fn chain(
    image: &Image<'_>,
    space: u32,
    record: &Record<'_>,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
    sink: Sink<'_>,
) -> Result<(), String> {
    let (mut leaves, mut elements) = (Vec::new(), 0);
    for page in image.pages_of(space) {
        let (_, bytes) = page.map_err(text)?;
        let leaf = LeafPage::new(&bytes).map_err(text)?;
        leaves.push((leaf.label, leaf.page));
        elements += leaf.elements;
    }
    leaves.sort_unstable();
    encoder.open(record.key, record.deadline, Shape::List, elements, out);
    for (_, page) in leaves {
        let bytes = image.page(space, page).map_err(text)?;
        let bytes = bytes.ok_or_else(|| format!("page {page} of space {space} is missing"))?;
        let leaf = LeafPage::new(&bytes).map_err(text)?;
        let mut read = Ok(());
        encoder.elements(out, |to| read = leaf.each(|element| to.element(element)));
        read.map_err(text)?;
        sink(out)?;
    }
    Ok(())
}

/// A large stream: its nodes one by one, then the rest, for which what is pending in its groups is in memory.
fn stream(
    image: &Image<'_>,
    space: u32,
    record: &Record<'_>,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
    sink: Sink<'_>,
) -> Result<(), String> {
    let (mut nodes, mut leaves, mut trunk) = (Vec::new(), Vec::new(), None);
    for page in image.pages_of(space) {
        let (number, bytes) = page.map_err(text)?;
        match StreamPage::new(&bytes).map_err(text)?.part {
            StreamPart::Node(id, _) => nodes.push((id, number)),
            StreamPart::Leaf(leaf) => leaves.push(leaf),
            StreamPart::Trunk(found) => trunk = Some(found),
        }
    }
    let mut trunk = trunk.ok_or_else(|| format!("the stream of space {space} has no trunk"))?;
    if !leaves.into_iter().all(|leaf| trunk.load(leaf)) {
        return Err(format!("pending entries of no group in space {space}"));
    }
    nodes.sort_unstable();
    encoder.open(record.key, record.deadline, Shape::Stream, nodes.len() as u64, out);
    for (id, page) in nodes {
        let bytes = image.page(space, page).map_err(text)?;
        let bytes = bytes.ok_or_else(|| format!("page {page} of space {space} is missing"))?;
        if let StreamPart::Node(_, node) = StreamPage::new(&bytes).map_err(text)?.part {
            encoder.elements(out, |to| to.part(&rdb::stream::StreamPart::Node(id, node.to_vec())));
        }
        sink(out)?;
    }
    encoder.elements(out, |to| stream_transfer::rest(&trunk.head, &trunk.groups, |part| to.part(&part)));
    Ok(())
}

fn read_blob(image: &Image<'_>, space: u32, blob: u64) -> Result<Vec<u8>, String> {
    image.blob(space, blob).map_err(text)?.ok_or_else(|| format!("blob {blob} of space {space} is missing"))
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
