//! The maps of SENTINEL MASTER and its like, and INFO: field for field as Redis 7.2 orders them.

use super::clients::{Client, ClientId};
use super::instance::Instance;
use super::links::ago;
use super::monitor::Monitor;
use super::peers::PeerSeen;
use super::watched::Watched;
use crate::base::{Millis, REDIS_VERSION, glob};
use crate::failover::facts::{MasterLink, Role};
use crate::failover::observation::{Kind, Observation};
use crate::resp::{Proto, Writer};
use std::fmt::Write as _;

type Fields = Vec<(&'static str, String)>;

/// Writes a map of bulk strings.
pub fn write_fields(fields: &Fields, w: &mut Writer<'_>) {
    w.map(fields.len());
    for (name, value) in fields {
        w.bulk(name.as_bytes());
        w.bulk(value.as_bytes());
    }
}

impl Monitor {
    fn common(
        &self,
        seen: &Observation,
        now: Millis,
        downs: (Option<Millis>, Option<Millis>),
        down_after: Millis,
        pending: usize,
        state: Option<&str>,
    ) -> Fields {
        let mut fields: Fields = vec![("link-pending-commands", pending.to_string()), ("link-refcount", "1".into())];
        fields.extend(state.map(|state| ("failover-state", state.to_owned())));
        fields.push(("last-ping-sent", seen.ping_waiting(now).0.to_string()));
        fields.push(("last-ok-ping-reply", ago(now, seen.last_valid()).to_string()));
        fields.push(("last-ping-reply", ago(now, seen.last_reply()).to_string()));
        fields.extend(downs.0.map(|at| ("s-down-time", ago(now, at).to_string())));
        fields.extend(downs.1.map(|at| ("o-down-time", ago(now, at).to_string())));
        fields.push(("down-after-milliseconds", down_after.0.to_string()));
        fields
    }

    /// One master; `unconfirmed`: the group could not be asked, so the map says `s_down`.
    pub(super) fn master_fields(&self, watched: &Watched, unconfirmed: bool) -> Fields {
        let now = self.clock.mono;
        let Some(node) = watched.master() else { return Fields::new() };
        let mut flags = Vec::new();
        let down = node.observation.down_since();
        if down.is_some() || unconfirmed {
            flags.push("s_down");
        }
        if watched.odown.is_some() {
            flags.push("o_down");
        }
        flags.push("master");
        if node.command.conn.is_none() {
            flags.push("disconnected");
        }
        if watched.failing_over.is_some() {
            flags.push("failover_in_progress");
            if watched.forced {
                flags.push("force_failover");
            }
        }
        if node.observation.is_rebooting() {
            flags.push("master_reboot");
        }
        let state = watched.failing_over.map(|_| "wait_promotion");
        let config = &watched.config;
        let mut fields = self.identity(watched.name(), node, &flags);
        let down = down.or(unconfirmed.then_some(now));
        fields.extend(self.common(
            &node.observation,
            now,
            (down, watched.odown),
            config.down_after,
            node.command.pending.len(),
            state,
        ));
        fields.extend(self.role_fields(node, now));
        fields.push(("config-epoch", watched.epoch.to_string()));
        fields.push(("num-slaves", watched.replicas().count().to_string()));
        fields.push(("num-other-sentinels", watched.sentinels.len().to_string()));
        fields.push(("quorum", config.quorum.to_string()));
        fields.push(("failover-timeout", config.failover_timeout.0.to_string()));
        fields.push(("parallel-syncs", config.parallel_syncs.to_string()));
        fields.extend(config.notification_script.clone().map(|path| ("notification-script", path)));
        fields.extend(config.client_reconfig_script.clone().map(|path| ("client-reconfig-script", path)));
        fields
    }

    fn identity(&self, name: &str, node: &Instance, flags: &[&str]) -> Fields {
        vec![
            ("name", name.to_owned()),
            ("ip", node.addr.host.clone()),
            ("port", node.addr.port.to_string()),
            ("runid", node.runid.map(|id| id.to_string()).unwrap_or_default()),
            ("flags", flags.join(",")),
        ]
    }

    fn role_fields(&self, node: &Instance, now: Millis) -> Fields {
        let is_master = node.facts.as_ref().map_or(node.kind == Kind::Master, |facts| facts.role == Role::Master);
        vec![
            ("info-refresh", node.info_at.map_or(0, |at| ago(now, at)).to_string()),
            ("role-reported", if is_master { "master" } else { "slave" }.to_owned()),
            ("role-reported-time", ago(now, node.role_reported_at).to_string()),
        ]
    }

    pub(super) fn replica_fields(&self, watched: &Watched, node: &Instance) -> Fields {
        let now = self.clock.mono;
        let mut flags = Vec::new();
        if node.observation.is_down() {
            flags.push("s_down");
        }
        flags.push("slave");
        if node.command.conn.is_none() {
            flags.push("disconnected");
        }
        if watched.picked.as_ref() == Some(&node.addr) {
            flags.push("promoted");
        }
        let mut fields = self.identity(&node.addr.to_string(), node, &flags);
        let downs = (node.observation.down_since(), None);
        let config = &watched.config;
        fields.extend(self.common(&node.observation, now, downs, config.down_after, node.command.pending.len(), None));
        fields.extend(self.role_fields(node, now));
        let facts = node.facts.as_ref();
        let (link, master) = match facts.map(|facts| &facts.role) {
            Some(Role::Replica { master, link }) => (Some(*link), Some(master)),
            _ => (None, None),
        };
        let down_time = match link {
            Some(MasterLink::Down { for_: Some(span) }) => span.0,
            _ => 0,
        };
        fields.push(("master-link-down-time", down_time.to_string()));
        fields.push(("master-link-status", if link == Some(MasterLink::Up) { "ok" } else { "err" }.to_owned()));
        fields.push(("master-host", master.map_or("?".to_owned(), |master| master.host.clone())));
        fields.push(("master-port", master.map_or(0, |master| master.port).to_string()));
        fields.push(("slave-priority", facts.map_or(100, |facts| facts.priority).to_string()));
        fields.push(("slave-repl-offset", facts.map_or(0, |facts| facts.offset.0).to_string()));
        fields.push(("replica-announced", u8::from(node.is_replica_shown()).to_string()));
        fields
    }

    pub(super) fn sentinel_fields(&self, watched: &Watched, peer: &PeerSeen) -> Fields {
        let now = self.clock.mono;
        let mut flags = Vec::new();
        if peer.observation.is_down() {
            flags.push("s_down");
        }
        flags.push("sentinel");
        if peer.observation.is_disconnected() {
            flags.push("disconnected");
        }
        let runid = peer.runid.to_string();
        let mut fields: Fields = vec![
            ("name", runid.clone()),
            ("ip", peer.addr.host.clone()),
            ("port", peer.addr.port.to_string()),
            ("runid", runid),
            ("flags", flags.join(",")),
        ];
        let downs = (peer.observation.down_since(), None);
        fields.extend(self.common(
            &peer.observation,
            now,
            downs,
            watched.config.down_after,
            usize::from(peer.asking),
            None,
        ));
        fields.push(("last-hello-message", ago(now, peer.hello_at).to_string()));
        fields.push(("voted-leader", "?".into()));
        fields.push(("voted-leader-epoch", "0".into()));
        fields
    }
}

/// One line of CLIENT LIST.
pub fn client_line(id: ClientId, client: &Client, now: i64) -> String {
    let flags = match (client.subscriptions() > 0, client.no_evict) {
        (true, true) => "Pe",
        (true, false) => "P",
        (false, true) => "e",
        (false, false) => "N",
    };
    format!(
        "id={id} addr={} laddr={} fd=-1 name={} age={} idle={} flags={flags} db=0 sub={} psub={} ssub=0 multi=-1 qbuf=0 \
         qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r cmd={} user=default redir=-1 \
         resp={} lib-name={} lib-ver={}\n",
        client.addr,
        client.laddr,
        client.name,
        (now - client.since) / 1000,
        (now - client.last) / 1000,
        client.channels.len(),
        client.patterns.len(),
        client.last_command,
        if client.proto == Proto::Resp3 { 3 } else { 2 },
        client.lib_name,
        client.lib_ver,
    )
}

/// INFO with these sections (all five where none is named).
pub fn info(monitor: &Monitor, wanted: &[&[u8]]) -> String {
    let all = wanted.is_empty()
        || wanted
            .iter()
            .any(|word| [&b"default"[..], b"all", b"everything"].iter().any(|all| word.eq_ignore_ascii_case(all)));
    let wants = |name: &str| all || wanted.iter().any(|word| glob::matches(name.as_bytes(), word, true));
    let mut sections = Vec::new();
    if wants("server") {
        sections.push(server(monitor));
    }
    if wants("clients") {
        let pubsub = monitor.clients.all.values().filter(|client| client.subscriptions() > 0).count();
        sections.push(format!(
            "# Clients\r\nconnected_clients:{}\r\ncluster_connections:0\r\nmaxclients:{}\r\nclient_recent_max_input_buffer:0\r\n\
             client_recent_max_output_buffer:0\r\nblocked_clients:0\r\ntracking_clients:0\r\nclients_in_timeout_table:0\r\n\
             pubsub_clients:{pubsub}\r\n",
            monitor.clients.all.len(),
            monitor.config.settings.maxclients
        ));
    }
    if wants("cpu") {
        sections.push(cpu());
    }
    if wants("stats") {
        sections.push(format!(
            "# Stats\r\ntotal_connections_received:{}\r\ntotal_commands_processed:{}\r\ninstantaneous_ops_per_sec:0\r\n",
            monitor.connections, monitor.commands
        ));
    }
    if wants("sentinel") {
        sections.push(sentinel(monitor));
    }
    sections.join("\r\n")
}

fn server(monitor: &Monitor) -> String {
    let uptime = monitor.clock.mono.seconds();
    let file = monitor.config.file().map(|file| file.display().to_string()).unwrap_or_default();
    let executable = std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
    format!(
        "# Server\r\nredis_version:{REDIS_VERSION}\r\nredis_git_sha1:00000000\r\nredis_git_dirty:0\r\nredis_build_id:0\r\n\
         redis_mode:sentinel\r\nos:Linux\r\narch_bits:64\r\nmonotonic_clock:POSIX clock_gettime\r\n\
         multiplexing_api:epoll\r\nprocess_id:{}\r\nprocess_supervised:no\r\nrun_id:{}\r\ntcp_port:{}\r\n\
         server_time_usec:{}\r\nuptime_in_seconds:{uptime}\r\nuptime_in_days:{}\r\nhz:10\r\nconfigured_hz:10\r\n\
         executable:{executable}\r\nconfig_file:{file}\r\nio_threads_active:0\r\nserver_name:regent\r\n\
         regent_version:{}\r\n",
        std::process::id(),
        monitor.myid(),
        monitor.config.settings.port,
        monitor.clock.wall.0 * 1000,
        uptime / 86400,
        env!("CARGO_PKG_VERSION"),
    )
}

fn cpu() -> String {
    let usage = |who: libc::c_int| {
        // SAFETY: rusage is plain data for which all zeros are valid; getrusage only writes it.
        unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(who, &mut usage);
            usage
        }
    };
    let seconds = |time: libc::timeval| format!("{}.{:06}", time.tv_sec, time.tv_usec);
    let (own, children) = (usage(libc::RUSAGE_SELF), usage(libc::RUSAGE_CHILDREN));
    format!(
        "# CPU\r\nused_cpu_sys:{}\r\nused_cpu_user:{}\r\nused_cpu_sys_children:{}\r\nused_cpu_user_children:{}\r\n",
        seconds(own.ru_stime),
        seconds(own.ru_utime),
        seconds(children.ru_stime),
        seconds(children.ru_utime)
    )
}

fn sentinel(monitor: &Monitor) -> String {
    let tilt = monitor.pulse.tilt_since();
    let since = tilt.map_or(-1, |at| ago(monitor.clock.mono, at) / 1000);
    let mut text = format!(
        "# Sentinel\r\nsentinel_masters:{}\r\nsentinel_tilt:{}\r\nsentinel_tilt_since_seconds:{since}\r\n\
         sentinel_total_tilt:{}\r\nsentinel_running_scripts:{}\r\nsentinel_scripts_queue_length:{}\r\n\
         sentinel_simulate_failure_flags:{}\r\n",
        monitor.masters.len(),
        u8::from(tilt.is_some()),
        monitor.pulse.stalls(),
        monitor.scripts.running(),
        monitor.scripts.len(),
        monitor.simulated.flags(),
    );
    for (at, watched) in monitor.masters.values().enumerate() {
        let down = watched.master().is_some_and(|master| master.observation.is_down());
        let status = match (watched.odown.is_some(), down) {
            (true, _) => "odown",
            (false, true) => "sdown",
            (false, false) => "ok",
        };
        let _ = write!(
            text,
            "master{at}:name={},status={status},address={},slaves={},sentinels={}\r\n",
            watched.name(),
            watched.addr,
            watched.replicas().count(),
            watched.sentinels.len() + 1
        );
    }
    let role = match monitor.seen.leader {
        _ if monitor.group().is_none() => "none",
        Some(_) if monitor.seen.leads() => "leader",
        Some(_) => "member",
        None => "without-leader",
    };
    let _ = write!(text, "regent_group_role:{role}\r\nregent_voters:{}\r\n", monitor.seen.raft.voters.len());
    if let Some(group) = monitor.group() {
        let _ = write!(text, "regent_group:{group}\r\n");
    }
    text
}
