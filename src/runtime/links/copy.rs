//! Full copies for replicas: a checkpoint, written as RDB into a file by the storage thread, sent to all who wait.

use super::out::{Out, start};
use super::{Links, step_source};
use crate::replication::source::{CopyId, Event, LinkId};
use crate::runtime::clock;
use crate::runtime::rdb_file::{self, Facts, Form};
use crate::runtime::world::World;
use crate::store::Image;
use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;

/// A copy on its way out.
#[derive(Default)]
pub struct Outgoing {
    /// Who is to be sent it.
    links: Vec<LinkId>,
    made: Option<(Arc<File>, u64)>,
}

/// Copies that were asked for begin as soon as all that was fed is in the log.
pub fn begin_ordered(world: &Rc<World>) {
    loop {
        let copy = {
            let mut links = world.links.borrow_mut();
            let mut server = world.server.borrow_mut();
            if links.ordered.is_empty() || server.feed.has_pending() || server.loading.is_some() {
                return;
            }
            let copy = links.ordered.remove(0);
            links.copies.insert(copy, Outgoing::default());
            step_source(&mut server, Event::CopyBegan { copy });
            copy
        };
        begin(world, copy);
        // CopyBegan has made effects (the replies to those who wait): they are done by the caller's loop.
    }
}

fn begin(world: &Rc<World>, copy: CopyId) {
    let (dir, facts) = {
        let server = world.server.borrow();
        let stream = &server.stream;
        let dir = std::path::PathBuf::from(&server.config.settings.dir);
        let functions = server.library_texts().map(<[u8]>::to_vec).collect();
        let (id, at, db) = (stream.history().id(), stream.end(), stream.db());
        let (noted, frequencies) = (server.config.settings.maxmemory_policy.notes(), server.frequencies());
        (dir, Facts { id, at, db, wall: server.wall, used: 0, functions, noted, frequencies })
    };
    let form = world.disk().form_of_copies();
    let (told, hears) = tokio::sync::oneshot::channel();
    {
        let mut server = world.server.borrow_mut();
        world.disk_mut().copy(
            &mut server,
            Box::new(move |manifest, image| {
                let result = manifest.and_then(|manifest| {
                    let image = image.map_err(|error| error.to_string())?;
                    write(&dir, &facts, &form, &manifest, &image).map_err(|error| format!("{}: {error}", dir.display()))
                });
                let _ = told.send(result);
            }),
        );
    }
    world.disk_bell.notify_one();
    let world = world.clone();
    tokio::task::spawn_local(async move {
        let result = hears.await.unwrap_or_else(|_| Err("the storage thread has stopped".into()));
        made(&world, copy, result);
    });
}

fn made(world: &Rc<World>, copy: CopyId, result: Result<(File, u64), String>) {
    let waiting = {
        let mut links = world.links.borrow_mut();
        let mut server = world.server.borrow_mut();
        world.tick(&mut server);
        match result {
            Ok((file, length)) => {
                tracing::info!("Copy for replicas made: {length} bytes");
                step_source(&mut server, Event::CopyMade { copy });
                let Some(outgoing) = links.copies.get_mut(&copy) else { return };
                outgoing.made = Some((Arc::new(file), length));
                outgoing.links.clone()
            }
            Err(error) => {
                tracing::warn!("The copy for replicas failed: {error}");
                step_source(&mut server, Event::CopyFailed { copy });
                links.copies.remove(&copy);
                Vec::new()
            }
        }
    };
    for link in waiting {
        send(world, copy, link);
    }
    super::perform(world);
}

/// A link is to be sent this copy.
pub fn attach(world: &Rc<World>, copy: CopyId, link: LinkId) {
    let ready = {
        let mut links = world.links.borrow_mut();
        let Some(outgoing) = links.copies.get_mut(&copy) else { return };
        outgoing.links.push(link);
        outgoing.made.is_some()
    };
    if ready {
        send(world, copy, link);
    }
}

fn send(world: &Rc<World>, copy: CopyId, link: LinkId) {
    let file = {
        let links = world.links.borrow();
        links.copies.get(&copy).and_then(|outgoing| outgoing.made.clone())
    };
    let Some((file, length)) = file else { return };
    let chunk = format!("${length}\r\n").into_bytes();
    start(world, link, Out::Copy { file, at: 0, length, chunk, sent: 0 });
}

/// Nobody wants it any more.
pub fn abandon(world: &Rc<World>, copy: CopyId) {
    world.links.borrow_mut().copies.remove(&copy);
}

/// A link has all of its copy; the file goes with the last one.
pub fn sent(links: &mut Links, link: LinkId) {
    for outgoing in links.copies.values_mut() {
        outgoing.links.retain(|&other| other != link);
    }
    links.copies.retain(|_, outgoing| outgoing.made.is_none() || !outgoing.links.is_empty());
}

/// Writes the image as an RDB file that has no name: it goes with the last who reads it.
fn write(
    dir: &std::path::Path,
    facts: &Facts,
    form: &Form,
    manifest: &crate::keyspace::Manifest,
    image: &Image<'_>,
) -> Result<(File, u64), String> {
    let path = dir.join(format!("temp-regent-copy-{}-{}.rdb", std::process::id(), clock::micros()));
    let text = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut options = File::options();
    let mut file = options.read(true).write(true).create_new(true).open(&path).map_err(text)?;
    std::fs::remove_file(&path).map_err(text)?;
    let length = rdb_file::fill(&mut file, &path, facts, form, manifest, image)?;
    Ok((file, length))
}
