//! Bugs to plant. The simulation switches one on and must notice it; in any other build [`planted`] is a constant
//! `false` and costs nothing. An oracle that nobody tested passes everything.

/// One way to get replication wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// A former id is honoured beyond its end: a diverged tail is taken for ours.
    EndlessFormer,
    /// A master that restarted writes on under the id that it recovered.
    IdKeptAfterRestart,
    /// The new id of a +CONTINUE is not taken.
    IdKeptOnContinue,
    /// PSYNC asks for the last byte again.
    AsksTwice,
    /// A short send counts as a whole one.
    ShortSend,
    /// Replicas are fed what the log does not have.
    FedUnreleased,
    /// Events of an earlier connection are believed.
    StaleConn,
    /// A half loaded copy keeps its old id.
    HalfLoaded,
    /// A full copy leaves the former ids of what it replaced.
    FormerKeptOnCopy,
    /// A replica that is promoted keeps writing under its master's id.
    PromotedWithoutId,
    /// A marked copy is followed by the stream before the replica has acknowledged it.
    NoFirstAck,
    /// The end of the id that was left is noted one byte too high.
    EndTooHigh,
    /// A node that takes an id of its own goes on believing in bytes that it was promised and never got.
    PromisedEndsKept,
    /// A master that lost its tail asks for one byte that it has.
    TailTwice,
    /// A master that lost its tail is content with the first answer.
    TailOfTheFirst,
    /// A master serves its replicas before its log has what they gave back.
    TailUnlogged,
}

#[cfg(test)]
thread_local! {
    pub(super) static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
pub(super) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

#[cfg(not(test))]
pub(super) const fn planted(_: Bug) -> bool {
    false
}
