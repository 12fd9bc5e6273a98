//! What happens by itself: expiry, deadlines of blocked clients, replication's timers, checkpoints, idle clients, rates.
//!
//! Two tasks. One sleeps until the next deadline, at most 100 ms; the other serves the store's threads when they call.

use super::disk::Ground;
use super::world::World;
use super::{clock, gauges, links, logging};
use crate::base::Millis;
use crate::command::{Closing, Kind, Server};
use std::rc::Rc;
use std::time::Duration;

/// Rates are looked at as often.
const SAMPLE: Millis = Millis(100);

/// Keys that one slice of expiry may delete, at an effort of 1; a quarter more with each further one, as in Redis.
const EXPIRE_KEYS: i64 = 200;

/// Share of a beat that expiry may take, in percent, and what each further effort adds.
const EXPIRE_PERCENT: i64 = 25;
const EXPIRE_EFFORT_PERCENT: i64 = 2;

/// Beats for as long as the node runs.
pub async fn beats(world: Rc<World>) {
    let mut last_second = clock::mono().seconds();
    let mut last_sample = clock::mono();
    loop {
        let wait = {
            let server = world.server.borrow();
            let now = clock::mono();
            let next = [links::tick(&server), server.next_block_deadline(), server.pause.map(|pause| pause.until)];
            let next = next.into_iter().flatten().min().unwrap_or(Millis::NEVER);
            // The longest sleep is one beat.
            next.since(now).min(Millis(1000 / server.hz()))
        };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(wait.0.max(1) as u64)) => {}
            () = world.clock_bell.notified() => {}
        }
        let began_us = clock::micros();
        links::beat(&world);
        let now = clock::mono();
        let rests = world.server.borrow().switches.pause_cron;
        {
            let mut server = world.server.borrow_mut();
            world.tick(&mut server);
            if server.pause.is_some_and(|pause| pause.until <= server.mono) {
                server.settle_pause();
            }
            server.retry_all_blocked();
            server.tend_failover();
            if !rests {
                server.shorten_tracked();
            }
            logging::set_role(if server.is_replica() { b'S' } else { b'M' });
            world.disk().show(&mut server);
            if !rests && now.since(last_sample) >= SAMPLE {
                sample(&mut server, now.since(last_sample));
                last_sample = now;
                server.tend_clients();
            }
            if !rests && now.seconds() != last_second {
                last_second = now.seconds();
                every_second(&world, &mut server);
            }
            server.stats.cron_us += clock::micros().saturating_sub(began_us).max(1);
        }
        if !rests {
            expire(&world).await;
            evict(&world).await;
        }
    }
}

/// Deletes what has expired, in slices between which others are served.
async fn expire(world: &Rc<World>) {
    let (more_effort, beat_us) = {
        let server = world.server.borrow();
        (server.config.settings.active_expire_effort - 1, 1_000_000 / server.hz())
    };
    let percent = EXPIRE_PERCENT + more_effort * EXPIRE_EFFORT_PERCENT;
    let deadline = clock::micros() + (beat_us * percent / 100) as u64;
    let keys = (EXPIRE_KEYS + more_effort * EXPIRE_KEYS / 4) as usize;
    loop {
        let more = {
            let mut server = world.server.borrow_mut();
            world.tick(&mut server);
            let more = server.expire_due(keys);
            let spent_us = clock::micros().saturating_sub(server.last_tick);
            server.note_latency("expire-cycle", spent_us);
            more
        };
        world.turn.notify_one();
        if !more || clock::micros() > deadline {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Goes on with an eviction that took longer than a request may wait, in slices between which others are served.
async fn evict(world: &Rc<World>) {
    loop {
        {
            let mut server = world.server.borrow_mut();
            if !server.evicts() {
                return;
            }
            world.tick(&mut server);
            server.make_room(false);
        }
        world.turn.notify_one();
        tokio::task::yield_now().await;
    }
}

fn sample(server: &mut Server, elapsed: Millis) {
    let stats = &mut server.stats;
    stats.ops.sample(stats.commands, elapsed.0 as u64);
    stats.input.sample(stats.net_in, elapsed.0 as u64);
    stats.output.sample(stats.net_out, elapsed.0 as u64);
    stats.repl_input.sample(stats.net_repl_in, elapsed.0 as u64);
    stats.repl_output.sample(stats.net_repl_out, elapsed.0 as u64);
    stats.turns_rate.sample(stats.turns, elapsed.0 as u64);
    gauges::sample(server);
    let busy_us = server.cpu.user_main_us + server.cpu.sys_main_us;
    server.stats.busy_rate.sample(busy_us, elapsed.0 as u64);
}

fn every_second(world: &Rc<World>, server: &mut Server) {
    if server.config.settings.appendfsync == crate::config::AppendFsync::Everysec
        && let Some(log) = world.disk().store.log()
        && log.synced() < log.end()
    {
        log.sync_request();
    }
    world.kept.borrow_mut().tend(server);
    let mut disk = world.disk_mut();
    disk.tend(server);
    if !disk.saves() && disk.may_retry() && disk.save_is_due(server) {
        tracing::info!("{} changes since the last save. Saving...", server.dirty);
        disk.want_dump(Ground::Background, None);
    } else if !disk.checkpointing() && disk.may_retry() && disk.is_due(server) {
        disk.want_rewrite();
    }
    drop(disk);
    close_idle(server);
}

/// `timeout`: clients that have asked for nothing for so long.
fn close_idle(server: &mut Server) {
    let timeout_s = server.config.settings.timeout;
    if timeout_s == 0 {
        return;
    }
    let now = server.mono;
    let idle: Vec<_> = server
        .clients
        .iter()
        .filter(|(_, client)| client.kind == Kind::Normal && client.blocked.is_none() && !client.listens())
        .filter(|(_, client)| now.since(client.active).seconds() > timeout_s)
        .map(|(slot, _)| slot)
        .collect();
    for slot in idle {
        tracing::debug!(target: "verbose", "Closing idle client");
        server.close(slot, Closing::Now);
    }
}

/// Serves the store's threads: a checkpoint's slices, and what has ended.
pub async fn serve_disk(world: Rc<World>) {
    loop {
        world.disk_bell.notified().await;
        loop {
            let more = {
                let mut server = world.server.borrow_mut();
                world.tick(&mut server);
                let mut disk = world.disk_mut();
                let more = disk.advance(&mut server);
                disk.show(&mut server);
                disk.release(&mut server);
                server.retry_waits();
                more
            };
            if world.disk_mut().take_adopted() {
                links::adopt_copy(&world);
            }
            links::perform(&world);
            world.turn.notify_one();
            if !more {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}
