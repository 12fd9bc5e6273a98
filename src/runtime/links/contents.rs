//! The contents of a checkpoint as RDB: record by record, and a large collection page by page, so that no more than a page
//! is in memory.

use crate::command::{stream_transfer, transfer};
use crate::keyspace::{Kind, LeafPage, Manifest, PageReader, Record, RecordValue, StreamPage, StreamPart, Value};
use crate::rdb::{self, Encoder, Shape};
use crate::runtime::rdb_file::Facts;
use crate::store::Image;
use std::collections::BTreeMap;

/// Empties the buffer when it has grown.
type Sink<'a> = &'a mut dyn FnMut(&mut Vec<u8>) -> Result<(), String>;

/// A checkpoint's image on its way into a file.
pub struct Contents<'a> {
    pub image: &'a Image<'a>,
    pub facts: &'a Facts,
    pub encoder: &'a mut Encoder,
    pub out: &'a mut Vec<u8>,
    pub sink: Sink<'a>,
}

impl Contents<'_> {
    /// Writes all keys of all databases.
    ///
    /// # Errors
    /// Of the image, or of the sink.
    pub fn write(mut self, manifest: &Manifest) -> Result<(), String> {
        let databases: BTreeMap<u32, u32> = (0u32..).zip(&manifest.spaces).map(|(db, &space)| (space, db)).collect();
        let mut selected = None;
        let image = self.image;
        for page in image.pages() {
            let (space, _, bytes) = page.map_err(text)?;
            // A space that is no database's is a large collection's: it is written with its key.
            let Some(&db) = databases.get(&space) else { continue };
            let mut reader = PageReader::new(&bytes).map_err(text)?;
            while let Some(record) = reader.next_record().map_err(text)? {
                if selected != Some(db) {
                    self.encoder.select(db, 0, 0, self.out);
                    selected = Some(db);
                }
                self.item(space, &record)?;
                (self.sink)(self.out)?;
            }
        }
        Ok(())
    }

    fn item(&mut self, space: u32, record: &Record<'_>) -> Result<(), String> {
        let Record { key, deadline, access, value } = *record;
        if let Some(access) = access.filter(|access| access.noted() == self.facts.noted) {
            let used = transfer::used(access, self.facts.frequencies, self.facts.wall);
            self.encoder.used(used, self.out);
        }
        match value {
            RecordValue::Int(number) => self.encoder.string(key, deadline, number.to_string().as_bytes(), self.out),
            RecordValue::Bytes(bytes) => self.encoder.string(key, deadline, bytes, self.out),
            RecordValue::Blob { blob, .. } => {
                let bytes = self.blob(space, blob)?;
                self.encoder.string(key, deadline, &bytes, self.out);
            }
            RecordValue::Small { kind, bytes } => {
                let value = Value::of_small(kind, bytes);
                let (shape, elements) = transfer::shape(value);
                self.open(record, shape, elements);
                self.encoder.elements(self.out, |to| transfer::write(value, to));
            }
            RecordValue::Large { kind, space, .. } => match kind {
                Kind::List => self.chain(space, record)?,
                Kind::Set => self.by_hash(space, record, Shape::Set)?,
                Kind::Zset => self.by_hash(space, record, Shape::Zset)?,
                Kind::Hash => self.by_hash(space, record, Shape::Hash)?,
                Kind::Stream => self.stream(space, record)?,
                Kind::Str => return Err("a large collection that is a string".into()),
            },
        }
        Ok(())
    }

    fn open(&mut self, record: &Record<'_>, shape: Shape, elements: u64) {
        self.encoder.open(record.key, record.deadline, shape, elements, self.out);
    }

    /// A large collection whose pages hold it by hash: in front of the elements stands how many they are.
    fn by_hash(&mut self, space: u32, owner: &Record<'_>, shape: Shape) -> Result<(), String> {
        let image = self.image;
        let mut elements = 0;
        for page in image.pages_of(space) {
            elements += PageReader::new(&page.map_err(text)?.1).map_err(text)?.records_left() as u64;
        }
        self.open(owner, shape, elements);
        for page in image.pages_of(space) {
            let (_, bytes) = page.map_err(text)?;
            let mut reader = PageReader::new(&bytes).map_err(text)?;
            while let Some(record) = reader.next_record().map_err(text)? {
                let blob;
                let value = match record.value {
                    RecordValue::Bytes(bytes) => bytes,
                    RecordValue::Blob { blob: id, .. } => {
                        blob = self.blob(space, id)?;
                        &blob
                    }
                    _ => return Err(format!("an element of another form in space {space}")),
                };
                let score = <[u8; 8]>::try_from(value).map(f64::from_le_bytes);
                if shape == Shape::Zset && score.is_err() {
                    return Err(format!("a member without a score in space {space}"));
                }
                self.encoder.elements(self.out, |to| match (shape, score) {
                    (Shape::Zset, Ok(score)) => to.scored(record.key, score),
                    (Shape::Hash, _) => to.pair(record.key, value),
                    _ => to.element(record.key),
                });
                (self.sink)(self.out)?;
            }
        }
        Ok(())
    }

    /// A large list: its leaves in the order of their labels.
    fn chain(&mut self, space: u32, owner: &Record<'_>) -> Result<(), String> {
        let image = self.image;
        let (mut leaves, mut elements) = (Vec::new(), 0);
        for page in image.pages_of(space) {
            let (_, bytes) = page.map_err(text)?;
            let leaf = LeafPage::new(&bytes).map_err(text)?;
            leaves.push((leaf.label, leaf.page));
            elements += leaf.elements;
        }
        leaves.sort_unstable();
        self.open(owner, Shape::List, elements);
        for (_, page) in leaves {
            let bytes = self.page(space, page)?;
            let leaf = LeafPage::new(&bytes).map_err(text)?;
            let mut read = Ok(());
            self.encoder.elements(self.out, |to| read = leaf.each(|element| to.element(element)));
            read.map_err(text)?;
            (self.sink)(self.out)?;
        }
        Ok(())
    }

    /// A large stream: its nodes one by one, then the rest, for which what is pending in its groups is in memory.
    fn stream(&mut self, space: u32, owner: &Record<'_>) -> Result<(), String> {
        let image = self.image;
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
        self.open(owner, Shape::Stream, nodes.len() as u64);
        for (id, page) in nodes {
            let bytes = self.page(space, page)?;
            if let StreamPart::Node(_, node) = StreamPage::new(&bytes).map_err(text)?.part {
                let part = rdb::stream::StreamPart::Node(id, node.to_vec());
                self.encoder.elements(self.out, |to| to.part(&part));
            }
            (self.sink)(self.out)?;
        }
        self.encoder.elements(self.out, |to| stream_transfer::rest(&trunk.head, &trunk.groups, |part| to.part(&part)));
        Ok(())
    }

    fn page(&self, space: u32, page: u64) -> Result<Vec<u8>, String> {
        let bytes = self.image.page(space, page).map_err(text)?;
        bytes.ok_or_else(|| format!("page {page} of space {space} is missing"))
    }

    fn blob(&self, space: u32, blob: u64) -> Result<Vec<u8>, String> {
        let bytes = self.image.blob(space, blob).map_err(text)?;
        bytes.ok_or_else(|| format!("blob {blob} of space {space} is missing"))
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
