//! Bugs planted on purpose, in tests only: the simulation must notice each of them.

/// One way to be wrong. A test switches one on for its thread; the code asks with `planted!`.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The executor orders a promotion before the pick is committed.
    OrderBeforeCommit,
    /// The registry takes a pick without a quorum of witnesses.
    EvidenceUnchecked,
    /// Opinions count for ever, and those of an earlier boot too.
    StaleOpinions,
    /// The next pick takes the epoch of the one before.
    EpochReused,
    /// A promotion of an earlier pick still names the master.
    SupersededPromotes,
    /// MONITOR at another address moves the master.
    ConflictAdopts,
    /// A master that was removed and is monitored again keeps the group's epoch.
    RemovedNameKeepsEpoch,
    /// A node obeys orders below the epoch that it obeyed.
    NodeForgetsEpoch,
    /// A node takes orders of any group.
    NodeObeysAnyGroup,
    /// A silent executor is never replaced.
    NoTakeOver,
    /// A deposed master is left alone.
    NoDemotion,
    /// A candidate's history is not looked at.
    LineageIgnored,
    /// A founder's promise leaves before it is durable.
    PromiseBeforePersist,
    /// A higher ballot forgets what a lower one has stored.
    BallotForgetsCharter,
    /// The sentinel's own pause counts as the node's silence.
    PauseBlind,
    /// The executor does not notice that its pick has failed.
    FailureIgnored,
}

#[cfg(test)]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Plant>> = const { std::cell::Cell::new(None) };
}

/// Switches a bug on (or all off) for this thread.
#[cfg(test)]
pub fn plant(bug: Option<Plant>) {
    ACTIVE.set(bug);
}

#[cfg(test)]
pub fn is_planted(bug: Plant) -> bool {
    ACTIVE.get() == Some(bug)
}

/// Whether this bug is planted; `false` outside tests.
macro_rules! planted {
    ($bug:ident) => {{
        #[cfg(test)]
        let on = $crate::failover::plant::is_planted($crate::failover::plant::Plant::$bug);
        #[cfg(not(test))]
        let on = false;
        on
    }};
}
pub(in crate::failover) use planted;
