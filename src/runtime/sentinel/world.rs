//! What all tasks of a sentinel share, and how effects are carried out.

use super::links::{self, ToLink};
use super::machine::Agreement;
use super::peers::Dialler;
use super::{address, clients, keeper, peers, scripts};
use crate::base::Millis;
use crate::consensus::wire::Refusal;
use crate::consensus::{Group, PeerNode, TransportError};
use crate::failover::{self, Applied, Change, Entry, MemberId};
use crate::monitor::{ClientId, Clock, Effect, Event, JobId, Level, LinkId, Monitor, Unanswered};
use crate::runtime::tls::Tls;
use crate::runtime::{self, clock, logging};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// How long a message to another sentinel may take.
const TELL_TTL: Duration = Duration::from_millis(1000);
/// How long a proposer waits until its own registry has what was agreed.
const APPLY_TTL: Duration = Duration::from_millis(1000);

/// The present moment.
pub fn now() -> Clock {
    Clock { mono: clock::mono(), wall: clock::wall() }
}

/// Everything that a sentinel's tasks share.
pub struct World {
    pub monitor: RefCell<Monitor>,
    pub group: Group,
    pub agreement: Arc<Agreement>,
    pub(super) links: RefCell<HashMap<LinkId, mpsc::Sender<ToLink>>>,
    pub(super) clients: RefCell<HashMap<ClientId, mpsc::Sender<Vec<u8>>>>,
    pub(super) founding: mpsc::Sender<Vec<failover::founding::Effect>>,
    /// Wishes for the file so far; the keeper answers with the number that it has fulfilled.
    pub(super) rewrites: Cell<u64>,
    pub(super) rewrite_bell: Notify,
    pub(super) rewritten: watch::Sender<(u64, Result<(), String>)>,
    timer_bell: Notify,
    timer_due: Cell<Millis>,
    pub exit: Notify,
    /// How running scripts are killed.
    pub(super) scripts: RefCell<HashMap<JobId, oneshot::Sender<()>>>,
    /// Rung when CLIENT PAUSE or UNPAUSE changed something.
    pub(super) pause_bell: Notify,
    dialler: Dialler,
    /// What TLS connections are made with.
    pub tls: Tls,
    /// When a sentinel at this address was last told of in the log as not let in.
    pub(super) refused: RefCell<HashMap<IpAddr, Millis>>,
}

impl World {
    pub fn new(
        monitor: Monitor,
        group: Group,
        agreement: Arc<Agreement>,
        founding: mpsc::Sender<Vec<failover::founding::Effect>>,
        dialler: Dialler,
        tls: Tls,
    ) -> Rc<World> {
        Rc::new(World {
            monitor: RefCell::new(monitor),
            group,
            agreement,
            links: RefCell::default(),
            clients: RefCell::default(),
            founding,
            rewrites: Cell::new(0),
            rewrite_bell: Notify::new(),
            rewritten: watch::Sender::new((0, Ok(()))),
            timer_bell: Notify::new(),
            timer_due: Cell::new(Millis::NEVER),
            exit: Notify::new(),
            scripts: RefCell::default(),
            pause_bell: Notify::new(),
            dialler,
            tls,
            refused: RefCell::default(),
        })
    }

    /// Something happened.
    pub fn event(self: &Rc<Self>, event: Event) {
        let mut out = Vec::new();
        self.monitor.borrow_mut().step(now(), event, &mut out);
        self.perform(out);
    }

    /// Hands over what the group has agreed since.
    pub fn drain(self: &Rc<Self>) {
        if let Some((registry, events)) = self.agreement.take() {
            self.event(Event::Agreed { registry, events });
        }
    }

    /// Carries effects out, in their order.
    pub fn perform(self: &Rc<Self>, effects: Vec<Effect>) {
        for effect in effects {
            self.carry_out(effect);
        }
        let due = self.monitor.borrow().next_deadline();
        if due < self.timer_due.get() {
            self.timer_bell.notify_one();
        }
    }

    fn carry_out(self: &Rc<Self>, effect: Effect) {
        match effect {
            Effect::Open { link, addr, kind, greeting } => {
                let (sender, receiver) = mpsc::channel(links::QUEUE_MAX);
                self.links.borrow_mut().insert(link, sender);
                tokio::task::spawn_local(links::run(self.clone(), link, addr, kind, greeting, receiver));
            }
            Effect::Close { link } => drop(self.links.borrow_mut().remove(&link)),
            Effect::Reconnect { link } => self.to_link(link, ToLink::Reconnect),
            Effect::Send { link, conn, bytes } => self.to_link(link, ToLink::Bytes(conn, bytes)),
            Effect::Propose { slot, entry } => {
                let world = self.clone();
                tokio::task::spawn_local(async move {
                    let outcome = world.propose(&entry).await;
                    world.event(Event::Proposed { slot, entry, outcome });
                });
            }
            Effect::Linearize => {
                let world = self.clone();
                tokio::task::spawn_local(async move {
                    let ok = world.group.linearizable().await.is_ok();
                    world.drain();
                    world.event(Event::Linearized { ok });
                });
            }
            Effect::Member { change, node } => {
                let world = self.clone();
                tokio::task::spawn_local(async move {
                    let outcome = world.change(change, node).await;
                    world.event(Event::MemberChanged { outcome });
                });
            }
            Effect::Tell { runid, addr, bytes } => {
                let world = self.clone();
                tokio::task::spawn_local(async move {
                    let asked = clock::mono();
                    let node = PeerNode { addr: addr.to_string(), run_id: runid };
                    let answer = world.group.ask(&node, None, bytes, TELL_TTL).await;
                    let answer = answer.map_err(|why| match why {
                        TransportError::Refused(Refusal::WrongPass) => Unanswered::WrongPass,
                        TransportError::Refused(Refusal::ForeignGroup { ours: Some(group), .. }) => {
                            Unanswered::Foreign { group: keeper::shown_id(group) }
                        }
                        why => {
                            tracing::trace!("sentinel {addr}: {why}");
                            Unanswered::Silent
                        }
                    });
                    world.event(Event::Told { runid, asked, answer });
                });
            }
            Effect::Founding(effects) => {
                if self.founding.try_send(effects).is_err() {
                    tracing::warn!("the founding of the group waits for the disk");
                }
            }
            Effect::Rewrite => {
                self.ask_rewrite();
            }
            Effect::RunScript { job, argv } => {
                let (kill, killed) = oneshot::channel();
                self.scripts.borrow_mut().insert(job, kill);
                tokio::task::spawn_local(scripts::run(self.clone(), job, argv, killed));
            }
            Effect::KillScript { job } => {
                if let Some(kill) = self.scripts.borrow_mut().remove(&job) {
                    let _ = kill.send(());
                }
            }
            Effect::Crash => {
                tracing::warn!("Sentinel CRASH because of SENTINEL simulate-failure");
                std::process::exit(99);
            }
            Effect::PauseChanged => self.pause_bell.notify_waiters(),
            Effect::Verbosity(level) => logging::set_verbosity(runtime::verbosity(level)),
            Effect::Resolve { host } => {
                let world = self.clone();
                tokio::task::spawn_local(async move {
                    let ip = address::resolve(&host).await;
                    world.event(Event::Resolved { host, ip });
                });
            }
            Effect::PeerAt { runid, addr } => self.dialler.learn(runid, addr.to_string()),
            Effect::PeerPass(pass) => self.dialler.set_pass(pass),
            Effect::OwnAddress => {
                let addr = address::own(&self.monitor.borrow().config);
                let world = self.clone();
                tokio::task::spawn_local(async move { world.event(Event::Moved { addr }) });
            }
            Effect::Log(level, text) => log(level, &text),
            Effect::Deliver { client, bytes } => self.deliver(client, bytes),
        }
    }

    fn to_link(&self, link: LinkId, what: ToLink) {
        let mut links = self.links.borrow_mut();
        if let Some(Err(mpsc::error::TrySendError::Full(_))) = links.get(&link).map(|sender| sender.try_send(what)) {
            // A node that takes nothing in any more: its link starts anew.
            links.remove(&link);
            tracing::warn!("the link {link} is clogged and was given up");
        }
    }

    /// For a client that may be slow: one that does not take its messages is let go.
    pub(super) fn deliver(&self, client: ClientId, bytes: Vec<u8>) {
        let mut clients = self.clients.borrow_mut();
        if clients.get(&client).is_some_and(|sender| sender.try_send(bytes).is_err()) {
            clients.remove(&client);
        }
    }

    /// Wishes for the file to be rewritten; the number to wait for.
    pub(super) fn ask_rewrite(&self) -> u64 {
        self.rewrites.set(self.rewrites.get() + 1);
        self.rewrite_bell.notify_one();
        self.rewrites.get()
    }

    /// Agrees on an entry, and waits until it stands in this sentinel's registry too.
    pub(super) async fn propose(self: &Rc<Self>, entry: &Entry) -> Result<Applied, String> {
        let bytes = failover::encode(entry).map_err(|why| why.to_string())?;
        let (index, outcome) = self.group.propose(bytes).await.map_err(|why| why.to_string())?;
        let _ = tokio::time::timeout(APPLY_TTL, self.group.applied(index)).await;
        self.drain();
        failover::decode(&outcome).map_err(|why| why.to_string())
    }

    async fn change(&self, change: Change, node: Option<(failover::Addr, crate::base::RunId)>) -> Result<(), String> {
        let voters = || self.group.view().voters.keys().copied().collect::<Vec<MemberId>>();
        let done = match (change, node) {
            (Change::AddLearner(member), Some((addr, run_id))) => {
                self.group.add_learner(member, PeerNode { addr: addr.to_string(), run_id }).await
            }
            (Change::AddLearner(_), None) => return Err("the member is not in the registry".to_owned()),
            (Change::Promote(member), _) => self.group.set_voters(voters().into_iter().chain([member])).await,
            (Change::Remove(member), _) => self.group.remove(member).await,
        };
        done.map(|_| ()).map_err(|why| why.to_string())
    }

    /// Starts the tasks that run as long as the sentinel does.
    pub fn start(
        self: &Rc<Self>,
        founding: mpsc::Receiver<Vec<failover::founding::Effect>>,
        asks: mpsc::Receiver<peers::Asked>,
    ) {
        tokio::task::spawn_local(timers(self.clone()));
        tokio::task::spawn_local(agreements(self.clone()));
        tokio::task::spawn_local(keeper::found(self.clone(), founding));
        tokio::task::spawn_local(keeper::rewrite(self.clone()));
        tokio::task::spawn_local(keeper::follow_view(self.clone()));
        tokio::task::spawn_local(keeper::catch_up(self.clone()));
        tokio::task::spawn_local(keeper::mend_addresses(self.clone()));
        tokio::task::spawn_local(peers::answer(self.clone(), asks));
    }

    /// Accepts connections.
    pub fn listen(self: &Rc<Self>, listener: tokio::net::TcpListener, secure: bool) {
        tokio::task::spawn_local(clients::accept(self.clone(), listener, secure));
    }
}

async fn timers(world: Rc<World>) {
    loop {
        let due = world.monitor.borrow().next_deadline();
        world.timer_due.set(due);
        let wait = Duration::from_millis(due.since(clock::mono()).0 as u64);
        tokio::select! {
            () = tokio::time::sleep(wait) => {
                world.timer_due.set(Millis::NEVER);
                world.event(Event::Tick);
            }
            () = world.timer_bell.notified() => {}
        }
    }
}

async fn agreements(world: Rc<World>) {
    loop {
        world.agreement.bell.notified().await;
        world.drain();
    }
}

fn log(level: Level, text: &str) {
    match level {
        Level::Debug => tracing::debug!("{text}"),
        Level::Verbose => tracing::debug!(target: "verbose", "{text}"),
        Level::Notice => tracing::info!("{text}"),
        Level::Warning => tracing::warn!("{text}"),
    }
}
