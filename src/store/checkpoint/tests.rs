//! Checkpoints on the double: crashes and faults at every step, damage, sweeping.

use super::builder::Builder;
use super::manifest::{Contents, load, part_key, read_blob};
use super::memory::MemoryPages;
use super::pages::{Op, Pages, Table};
use super::*;
use crate::base::{Offset, ReplId};
use crate::store::history::History;
use crate::store::memory::Luck;
use std::collections::BTreeMap;

/// What a checkpoint should hold: pages and blobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Image {
    pages: BTreeMap<(u32, u64), Vec<u8>>,
    blobs: BTreeMap<(u32, u64), Vec<u8>>,
}

fn manifest(offset: u64) -> Manifest {
    Manifest {
        generation: 1,
        log: false,
        offset: Offset(offset),
        db: 0,
        history: History::new(ReplId::from_random([1; 20])),
        keyspace: vec![offset as u8; 10],
        extra: BTreeMap::new(),
    }
}

fn builder(pages: &MemoryPages) -> Builder {
    let reopened = pages.clone();
    let loaded = load(pages).unwrap();
    let opener = Box::new(move || Ok(Arc::new(reopened.reopened()) as Arc<dyn Pages>));
    Builder::new(opener, Arc::new(pages.clone()), loaded.as_ref()).unwrap()
}

/// What a new process reads: the offset and the image.
fn read(pages: &MemoryPages) -> Option<(u64, Image)> {
    let loaded = load(pages).unwrap()?;
    let all = PieceReader::new(pages, Table::Pages, &loaded.contents.pages).map(Result::unwrap);
    let image = Image {
        pages: all.map(|(space, page, bytes)| ((space, page), bytes)).collect(),
        blobs: loaded.contents.blobs.iter().map(|(&id, piece)| (id, read_blob(pages, id, piece).unwrap())).collect(),
    };
    assert_eq!(loaded.manifest, manifest(loaded.manifest.offset.0));
    Some((loaded.manifest.offset.0, image))
}

/// One checkpoint of random changes; the image is changed even if the checkpoint fails.
fn checkpoint(builder: &mut Builder, image: &mut Image, offset: u64, luck: &mut Luck) -> Result<(), StoreError> {
    if luck.below(6) == 0 {
        builder.begin_anew()?;
        *image = Image::default();
    } else {
        builder.begin()?;
    }
    for _ in 0..6 {
        let id = (luck.below(3) as u32, luck.below(6) as u64);
        let length = [0, 10, 7168, 7169, 64_000, 200_000][luck.below(6)];
        let bytes = vec![offset as u8 ^ luck.below(256) as u8; length];
        match luck.below(8) {
            0 => {
                image.pages.retain(|page, _| page.0 != id.0);
                image.blobs.retain(|blob, _| blob.0 != id.0);
                builder.drop_space(id.0)?;
            }
            1 => {
                image.pages.remove(&id);
                builder.drop_place(Place::Page(id))?;
            }
            2 => {
                image.blobs.remove(&id);
                builder.drop_place(Place::Blob(id))?;
            }
            3 => {
                image.blobs.insert(id, bytes.clone());
                builder.put(Place::Blob(id), &bytes)?;
            }
            _ => {
                image.pages.insert(id, bytes.clone());
                builder.put(Place::Page(id), &bytes)?;
            }
        }
    }
    builder.commit(&manifest(offset), None)?;
    builder.sweep()
}

/// No row is left that the current checkpoint does not name.
fn assert_swept(pages: &MemoryPages) {
    let Contents { pages: named, blobs } = load(pages).unwrap().map(|loaded| loaded.contents).unwrap_or_default();
    let rows =
        |pieces: &BTreeMap<(u32, u64), manifest::Piece>| pieces.values().map(|p| p.parts as usize).sum::<usize>();
    assert_eq!(pages.rows(Table::Pages), rows(&named));
    assert_eq!(pages.rows(Table::Blobs), rows(&blobs));
    assert_eq!((pages.rows(Table::Manifest), pages.rows(Table::Meta)), (1, 1));
}

#[test]
fn images_come_back_and_leave_nothing_behind() {
    let mut luck = Luck::new(1);
    let pages = MemoryPages::default();
    let mut image = Image::default();
    let mut builder = builder(&pages);
    assert_eq!(read(&pages), None);
    for offset in 1..30 {
        checkpoint(&mut builder, &mut image, offset, &mut luck).unwrap();
        assert_eq!(read(&pages), Some((offset, image.clone())));
        assert_swept(&pages);
    }
}

/// For each of a few schedules: the third checkpoint is cut off at each of its steps in turn. A new process finds the
/// second or the third whole, and a checkpoint after it leaves no garbage.
#[test]
fn a_crash_at_every_step() {
    for seed in 0..12 {
        let mut step = 1;
        loop {
            let mut luck = Luck::new(seed);
            let pages = MemoryPages::default();
            let mut image = Image::default();
            let mut writer = builder(&pages);
            checkpoint(&mut writer, &mut image, 1, &mut luck).unwrap();
            checkpoint(&mut writer, &mut image, 2, &mut luck).unwrap();
            let before = image.clone();
            pages.crash_in(step);
            let finished = checkpoint(&mut writer, &mut image, 3, &mut luck).is_ok();

            let after = pages.after(&mut Luck::new(step));
            let (offset, found) = read(&after).expect("a checkpoint is there");
            match offset {
                2 => assert_eq!(found, before, "seed {seed} step {step}"),
                3 => assert_eq!(found, image, "seed {seed} step {step}"),
                other => panic!("{other}"),
            }
            assert!(offset == 3 || !finished);
            let mut image = found;
            checkpoint(&mut builder(&after), &mut image, 4, &mut luck).unwrap();
            assert_eq!(read(&after), Some((4, image)));
            assert_swept(&after);
            if finished {
                break;
            }
            step += 1;
        }
        assert!(step > 8, "the crash reached the switch and the sweep");
    }
}

#[test]
fn after_a_fault_at_any_step_the_next_checkpoint_is_whole() {
    let mut step = 1;
    loop {
        let mut luck = Luck::new(5);
        let pages = MemoryPages::default();
        let mut image = Image::default();
        let mut writer = builder(&pages);
        checkpoint(&mut writer, &mut image, 1, &mut luck).unwrap();
        let before = image.clone();
        pages.fail_in(step);
        let outcome = checkpoint(&mut writer, &mut image, 2, &mut luck);
        if outcome.is_err() {
            writer.fault();
            let (offset, found) = read(&pages).unwrap();
            assert_eq!(found, if offset == 1 { before } else { image.clone() });
            image = found;
        }
        if outcome.is_ok() {
            break;
        }
        checkpoint(&mut writer, &mut image, 3, &mut luck).unwrap();
        assert_eq!(read(&pages), Some((3, image)));
        assert_swept(&pages);
        step += 1;
    }
    assert!(step > 8);
}

#[test]
fn a_checkpoint_given_up_leaves_the_former_one_and_is_swept() {
    let pages = MemoryPages::default();
    let mut image = Image::default();
    let mut luck = Luck::new(2);
    let mut writer = builder(&pages);
    checkpoint(&mut writer, &mut image, 1, &mut luck).unwrap();
    writer.begin().unwrap();
    for page in 0..80 {
        writer.put(Place::Page((1, page)), &vec![7; 64_000]).unwrap();
    }
    writer.abort();
    assert!(pages.rows(Table::Pages) > 60, "a round of it was written");
    assert_eq!(read(&pages), Some((1, image.clone())));
    checkpoint(&mut writer, &mut image, 2, &mut luck).unwrap();
    assert_eq!(read(&pages), Some((2, image)));
    assert_swept(&pages);
}

#[test]
fn damage_is_named() {
    let pages = MemoryPages::default();
    let mut writer = builder(&pages);
    writer.begin().unwrap();
    writer.put(Place::Page((2, 7)), &vec![1; 100_000]).unwrap();
    writer.put(Place::Blob((2, 9)), b"blob").unwrap();
    writer.commit(&manifest(1), None).unwrap();

    pages.damage(Table::Pages, &part_key((2, 7), 1, 1));
    let loaded = load(&pages).unwrap().unwrap();
    let mut reader = PieceReader::new(&pages, Table::Pages, &loaded.contents.pages);
    let error = reader.next().unwrap().unwrap_err().to_string();
    assert_eq!(error, "the checkpoint /memory is damaged: page 7 of space 2: checksum mismatch");
    assert!(reader.next().is_none());

    pages.apply(Table::Pages, vec![Op::Remove(part_key((2, 7), 1, 0))]).unwrap();
    let error = PieceReader::new(&pages, Table::Pages, &loaded.contents.pages).next().unwrap().unwrap_err().to_string();
    assert!(error.ends_with("page 7 of space 2: it is missing"), "{error}");

    pages.damage(Table::Blobs, &part_key((2, 9), 1, 0));
    let piece = loaded.contents.blobs[&(2, 9)];
    let error = read_blob(&pages, (2, 9), &piece).unwrap_err().to_string();
    assert!(error.ends_with("blob 9 of space 2: checksum mismatch"), "{error}");

    pages.damage(Table::Manifest, &manifest::chunk_key(1, 0));
    assert!(load(&pages).unwrap_err().to_string().ends_with("manifest: checksum mismatch"));
    pages.damage(Table::Meta, b"current");
    assert!(load(&pages).unwrap_err().to_string().ends_with("current record: checksum mismatch"));
}

#[test]
fn the_queue_is_bounded_and_says_when_there_is_room() {
    let pages = MemoryPages::default();
    let (told, wakes) = crossbeam_channel::bounded(100);
    let waker: Waker = Box::new(move || {
        let _ = told.try_send(());
    });
    let mut writer = Checkpoint::start(builder(&pages), None, 100_000, waker).unwrap();
    let ticket = writer.begin();
    let mut refused = 0;
    for page in 0..200 {
        let mut bytes = vec![page as u8; 30_000];
        while let Err(Full(back)) = writer.put_page(1, page, bytes) {
            assert_eq!(back.len(), 30_000);
            refused += 1;
            wakes.recv().unwrap();
            bytes = back;
        }
    }
    writer
        .put_page(1, 1000, vec![1; 1_000_000])
        .or_else(|Full(bytes)| {
            refused += 1;
            while writer.room() < 100_000 {
                wakes.recv().unwrap();
            }
            writer.put_page(1, 1000, bytes)
        })
        .unwrap();
    writer.commit(manifest(5), None);
    let done = writer.wait();
    assert_eq!(done.ticket, ticket);
    let finished = done.result.unwrap();
    assert_eq!((finished.work.pieces, finished.work.bytes), (201, 7_000_000));
    assert!(refused > 0);
    drop(writer);
    assert_eq!(read(&pages).unwrap().1.pages.len(), 201);
}

#[test]
fn a_fault_is_told_once_and_the_next_checkpoint_starts_anew() {
    let pages = MemoryPages::default();
    let mut writer = Checkpoint::start(builder(&pages), None, 1 << 20, Box::new(|| {})).unwrap();
    let first = writer.begin();
    writer.put_page(1, 1, vec![1; 10]).unwrap();
    pages.fail_in(2);
    writer.commit(manifest(1), None);
    let done = writer.wait();
    assert_eq!(done.ticket, first);
    assert!(matches!(done.result, Err(StoreError::Pages { .. })));
    assert!(writer.info().last_error.is_some());
    writer.begin();
    writer.put_page(1, 2, vec![2; 10]).unwrap();
    writer.commit(manifest(2), None);
    writer.wait().result.unwrap();
    assert!(writer.poll().is_none());
    drop(writer);
    let (offset, image) = read(&pages).unwrap();
    assert_eq!((offset, image.pages), (2, BTreeMap::from([((1, 2), vec![2; 10])])));
}

#[test]
fn what_the_database_lost_is_noticed() {
    let made = || {
        let pages = MemoryPages::default();
        let mut builder = builder(&pages);
        for offset in 1..3 {
            builder.begin().unwrap();
            builder.put(Place::Page((1, offset)), b"page").unwrap();
            builder.put(Place::Blob((1, offset)), b"blob").unwrap();
            builder.commit(&manifest(offset), None).unwrap();
            builder.sweep().unwrap();
        }
        assert_eq!(read(&pages).unwrap().1.pages.len(), 2);
        pages
    };
    let told = |pages: &MemoryPages| match load(pages) {
        Err(error) => error.to_string(),
        Ok(None) => "nothing was noticed".into(),
        Ok(Some(loaded)) => {
            let all = PieceReader::new(pages, Table::Pages, &loaded.contents.pages).map(|page| page.map(drop));
            let blobs = loaded.contents.blobs.iter().map(|(&id, piece)| read_blob(pages, id, piece).map(drop));
            let first = all.chain(blobs).find_map(Result::err);
            first.map_or("nothing was noticed".into(), |error| error.to_string())
        }
    };
    let pages = made();
    pages.lose(Table::Pages, &part_key((1, 2), 2, 0));
    assert_eq!(told(&pages), "the checkpoint /memory is damaged: page 2 of space 1: it is missing");
    let pages = made();
    pages.lose(Table::Blobs, &part_key((1, 1), 1, 0));
    assert_eq!(told(&pages), "the checkpoint /memory is damaged: blob 1 of space 1: 0 bytes of 4");
    let pages = made();
    pages.lose(Table::Manifest, &manifest::chunk_key(2, 0));
    assert_eq!(told(&pages), "the checkpoint /memory is damaged: manifest: chunk 0 of version 2 is missing");
    let pages = made();
    pages.lose(Table::Meta, manifest::CURRENT);
    let missing = "the checkpoint /memory is damaged: current record: it is missing, and version 2 was written";
    assert_eq!(told(&pages), missing);
    let pages = made();
    pages.set_witness(3);
    let older = "the checkpoint /memory is damaged: current record: it is of version 2, and version 3 was written";
    assert_eq!(told(&pages), older);
}
