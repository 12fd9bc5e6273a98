//! A store over doubles for the tests of other folders: its disk fails on demand, and it can be looked at as a new process
//! would find it.

use super::checkpoint::memory::MemoryPages;
use super::checkpoint::pages::Pages;
use super::memory::{End, Luck, MemoryDisk};
use super::recover::{Parts, open_parts};
use super::{Opened, Options, Origin, Store};
use crate::base::Offset;
use std::sync::Arc;

/// The disk under one store.
#[derive(Default)]
pub struct Doubles {
    disk: MemoryDisk,
    pages: MemoryPages,
}

fn open(disk: &MemoryDisk, pages: &MemoryPages) -> Opened {
    let reopened = pages.clone();
    let parts = Parts {
        lock: None,
        medium: Arc::new(disk.clone()),
        opener: Box::new(move || Ok(Arc::new(reopened.reopened()) as Arc<dyn Pages>)),
        store_existed: true,
        threaded: true,
    };
    open_parts(parts, Options::default()).expect("it opens")
}

impl Doubles {
    /// A first start.
    pub fn fresh(&self, origin: Origin) -> Store {
        match open(&self.disk, &self.pages) {
            Opened::Fresh(fresh) => fresh.start(origin).expect("it starts"),
            Opened::Recovered(_) => panic!("there is something already"),
        }
    }

    /// The next fsync of a log's file fails.
    pub fn fail_fsync(&self) {
        self.disk.fail_next_sync();
    }

    /// Where the state ends that a new process finds behind `kill -9` now.
    pub fn end_after_a_kill(&self) -> Offset {
        self.end_after(End::Kill)
    }

    /// The same behind a power cut.
    pub fn end_after_a_power_cut(&self) -> Offset {
        self.end_after(End::PowerCut)
    }

    fn end_after(&self, end: End) -> Offset {
        let luck = &mut Luck::new(1);
        let Opened::Recovered(mut recovery) = open(&self.disk.after(end, luck), &self.pages.after(luck)) else {
            panic!("nothing is there");
        };
        while recovery.next_entry().expect("a whole log").is_some() {}
        recovery.end().expect("read to its end")
    }
}
