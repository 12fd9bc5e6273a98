//! The scripts that an operator wants to be run at events: a queue, and the rules by which its jobs run again.
//!
//! The rules are those of Redis Sentinel: at most 16 run at once, the queue holds 256 (of more, the oldest that does not
//! run is forgotten), exit status 1 or a signal means "again" with a pause that doubles from 30 s, at most ten runs;
//! another status is told as `-script-error` and is the end; one that runs for longer than a minute is killed.

use super::event::{Effect, Event, Level};
use super::monitor::Monitor;
use super::periods::Periods;
use crate::base::Millis;
use crate::failover::Addr;
use crate::resp::Writer;
use std::collections::VecDeque;

/// `SENTINEL_SCRIPT_MAX_RUNNING`
const RUNNING_MAX: usize = 16;
/// `SENTINEL_SCRIPT_MAX_QUEUE`
const QUEUE_MAX: usize = 256;
/// `SENTINEL_SCRIPT_MAX_RETRY`
const RUNS_MAX: u32 = 10;

/// One script to be run; never reused.
pub type JobId = u64;

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Exit(i32),
    Signal(i32),
}

#[derive(Clone, Debug)]
enum State {
    Waiting { not_before: Millis },
    Running { since: Millis, pid: u32, killed: bool },
}

#[derive(Clone, Debug)]
struct Job {
    id: JobId,
    argv: Vec<String>,
    runs: u32,
    state: State,
}

/// What the queue wants done or told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    Run {
        job: JobId,
        argv: Vec<String>,
    },
    Kill {
        job: JobId,
    },
    /// `-script-error` or `-script-timeout`, and what follows it.
    Tell {
        channel: &'static str,
        text: String,
    },
}

/// The queue, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Scripts {
    jobs: VecDeque<Job>,
    last: JobId,
}

impl Scripts {
    /// Wants `argv` to be run; its first word is the script.
    pub fn add(&mut self, now: Millis, argv: Vec<String>) {
        self.last += 1;
        self.jobs.push_back(Job { id: self.last, argv, runs: 0, state: State::Waiting { not_before: now } });
        if self.jobs.len() > QUEUE_MAX
            && let Some(oldest) = self.jobs.iter().position(|job| matches!(job.state, State::Waiting { .. }))
        {
            self.jobs.remove(oldest);
        }
    }

    pub fn running(&self) -> usize {
        self.jobs.iter().filter(|job| matches!(job.state, State::Running { .. })).count()
    }

    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whatever is due at `now`.
    pub fn due(&mut self, now: Millis, periods: &Periods, out: &mut Vec<Wish>) {
        let mut running = self.running();
        for job in &mut self.jobs {
            match &mut job.state {
                State::Waiting { not_before } if *not_before <= now && running < RUNNING_MAX => {
                    running += 1;
                    job.runs += 1;
                    job.state = State::Running { since: now, pid: 0, killed: false };
                    out.push(Wish::Run { job: job.id, argv: job.argv.clone() });
                }
                State::Running { since, pid, killed: killed @ false } if now.since(*since) > periods.script_max => {
                    *killed = true;
                    let text = format!("{} {pid}", job.argv[0]);
                    out.push(Wish::Tell { channel: "-script-timeout", text });
                    out.push(Wish::Kill { job: job.id });
                }
                _ => {}
            }
        }
    }

    /// When [`due`](Scripts::due) is to be asked, if nothing happens before.
    pub fn next_deadline(&self, periods: &Periods) -> Millis {
        let free = self.running() < RUNNING_MAX;
        let due = |job: &Job| match &job.state {
            State::Waiting { not_before } => free.then_some(*not_before),
            State::Running { since, killed: false, .. } => Some(*since + periods.script_max + Millis(1)),
            State::Running { .. } => None,
        };
        self.jobs.iter().filter_map(due).min().unwrap_or(Millis::NEVER)
    }

    pub fn started(&mut self, job: JobId, process: u32) {
        if let Some(State::Running { pid, .. }) =
            self.jobs.iter_mut().find(|known| known.id == job).map(|j| &mut j.state)
        {
            *pid = process;
        }
    }

    pub fn ended(&mut self, now: Millis, job: JobId, how: Ended, periods: &Periods, out: &mut Vec<Wish>) {
        let Some(at) = self.jobs.iter().position(|known| known.id == job) else { return };
        let job = &mut self.jobs[at];
        let again = matches!(how, Ended::Signal(_) | Ended::Exit(1)) && job.runs < RUNS_MAX;
        if again {
            let pause = Millis(periods.script_retry.0.saturating_mul(1 << (job.runs - 1)));
            job.state = State::Waiting { not_before: now + pause };
            return;
        }
        let (signal, status) = match how {
            Ended::Exit(status) => (0, status),
            Ended::Signal(signal) => (signal, 0),
        };
        if (signal, status) != (0, 0) {
            let text = format!("{} {signal} {status}", job.argv[0]);
            out.push(Wish::Tell { channel: "-script-error", text });
        }
        self.jobs.remove(at);
    }

    /// SENTINEL PENDING-SCRIPTS.
    pub fn write(&self, now: Millis, w: &mut Writer<'_>) {
        w.array(self.jobs.len());
        for job in &self.jobs {
            let (flags, pid, name, span) = match &job.state {
                State::Running { since, pid, .. } => ("running", *pid, "run-time", now.since(*since)),
                State::Waiting { not_before } => ("scheduled", 0, "run-delay", not_before.since(now).max(Millis(0))),
            };
            w.map(5);
            w.bulk(b"argv");
            w.bulks(&job.argv);
            w.bulk(b"flags");
            w.bulk(flags.as_bytes());
            for (name, value) in [("pid", i64::from(pid)), (name, span.0), ("retry-num", i64::from(job.runs))] {
                w.bulk(name.as_bytes());
                w.bulk_int(value);
            }
        }
    }
}

impl Monitor {
    /// Starts and ends what is due.
    pub(super) fn run_scripts(&mut self, out: &mut Vec<Effect>) {
        let mut wishes = Vec::new();
        self.scripts.due(self.clock.mono, &self.periods, &mut wishes);
        self.grant(wishes, out);
    }

    pub(super) fn script_event(&mut self, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::ScriptStarted { job, pid } => {
                self.scripts.started(job, pid);
                self.log(Level::Debug, format!("+script-child {pid}"), out);
            }
            Event::ScriptEnded { job, how } => {
                let mut wishes = Vec::new();
                self.scripts.ended(self.clock.mono, job, how, &self.periods, &mut wishes);
                self.grant(wishes, out);
            }
            _ => {}
        }
    }

    fn grant(&mut self, wishes: Vec<Wish>, out: &mut Vec<Effect>) {
        for wish in wishes {
            match wish {
                Wish::Run { job, argv } => out.push(Effect::RunScript { job, argv }),
                Wish::Kill { job } => out.push(Effect::KillScript { job }),
                Wish::Tell { channel, text } => self.event(Level::Warning, channel, "", text, out),
            }
        }
    }

    /// `client-reconfig-script <name> <role> start <from-ip> <from-port> <to-ip> <to-port>`
    pub(super) fn reconfigure_clients(&mut self, name: &str, leads: bool, from: &Addr, to: &Addr) {
        let Some(watched) = self.masters.get(name) else { return };
        let Some(script) = watched.config.client_reconfig_script.clone() else { return };
        let role = if leads { "leader" } else { "observer" };
        let (from_port, to_port) = (from.port.to_string(), to.port.to_string());
        let argv = [&*script, name, role, "start", &from.host, &from_port, &to.host, &to_port];
        self.scripts.add(self.clock.mono, argv.map(str::to_owned).to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn periods() -> Periods {
        Periods::default()
    }

    fn due(scripts: &mut Scripts, now: i64) -> Vec<Wish> {
        let mut out = Vec::new();
        scripts.due(Millis(now), &periods(), &mut out);
        out
    }

    fn ended(scripts: &mut Scripts, now: i64, job: JobId, how: Ended) -> Vec<Wish> {
        let mut out = Vec::new();
        scripts.ended(Millis(now), job, how, &periods(), &mut out);
        out
    }

    fn told(channel: &'static str, text: &str) -> Wish {
        Wish::Tell { channel, text: text.to_owned() }
    }

    #[test]
    fn status_one_runs_again_with_doubling_pauses_ten_times_in_all() {
        let mut scripts = Scripts::default();
        scripts.add(Millis(0), vec!["/s".into(), "a".into()]);
        let (mut now, mut pause) = (0, 30_000);
        for run in 1..=10 {
            assert_eq!(scripts.next_deadline(&periods()), Millis(now));
            let wishes = due(&mut scripts, now);
            assert_eq!(wishes, [Wish::Run { job: 1, argv: vec!["/s".into(), "a".into()] }], "run {run}");
            let how = if run % 2 == 0 { Ended::Signal(9) } else { Ended::Exit(1) };
            let wishes = ended(&mut scripts, now, 1, how);
            if run == 10 {
                assert_eq!(wishes, [told("-script-error", "/s 9 0")]);
                break;
            }
            assert_eq!(wishes, []);
            assert_eq!(due(&mut scripts, now + pause - 1), [], "not before its pause is over");
            (now, pause) = (now + pause, pause * 2);
        }
        assert_eq!(scripts.len(), 0);
    }

    #[test]
    fn another_status_is_told_and_is_the_end() {
        let mut scripts = Scripts::default();
        for (job, status, said) in [(1, 0, vec![]), (2, 2, vec![told("-script-error", "/s 0 2")])] {
            scripts.add(Millis(0), vec!["/s".into()]);
            due(&mut scripts, 0);
            assert_eq!(ended(&mut scripts, 5, job, Ended::Exit(status)), said);
            assert_eq!(scripts.len(), 0);
        }
    }

    #[test]
    fn sixteen_run_at_once_and_a_long_one_is_killed() {
        let mut scripts = Scripts::default();
        (0..20).for_each(|_| scripts.add(Millis(0), vec!["/s".into()]));
        assert_eq!(due(&mut scripts, 0).len(), 16);
        assert_eq!(due(&mut scripts, 1), []);
        scripts.started(3, 77);
        assert_eq!(ended(&mut scripts, 2, 1, Ended::Exit(0)), []);
        assert_eq!(due(&mut scripts, 2), [Wish::Run { job: 17, argv: vec!["/s".into()] }]);
        let late = due(&mut scripts, 60_001);
        assert_eq!(late.len(), 30, "fifteen of them, each told and killed once");
        assert_eq!(late[2..4], [told("-script-timeout", "/s 77"), Wish::Kill { job: 3 }]);
        assert_eq!(due(&mut scripts, 60_002), []);
    }

    #[test]
    fn of_too_many_the_oldest_that_waits_is_forgotten() {
        let mut scripts = Scripts::default();
        scripts.add(Millis(0), vec!["/first".into()]);
        due(&mut scripts, 0);
        (0..256).for_each(|n| scripts.add(Millis(0), vec![format!("/{n}")]));
        assert_eq!(scripts.len(), 256);
        assert_eq!(scripts.jobs[0].argv, ["/first"], "it runs");
        assert_eq!(scripts.jobs[1].argv, ["/1"]);
    }
}
