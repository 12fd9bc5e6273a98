//! What DEBUG has switched, for tests: nothing here is kept by a restart.

use crate::rdb::Checksum;

/// See the module.
#[derive(Debug)]
pub struct Switches {
    /// SET-ACTIVE-EXPIRE: whether keys that are due are looked for.
    pub active_expire: bool,
    /// SET-SKIP-CHECKSUM-VALIDATION: whether those of RDB files and of payloads of RESTORE are looked at.
    pub checksum: Checksum,
    /// SET-DISABLE-DENY-SCRIPTS: scripts may call what scripts must not, see `gate`.
    pub scripts_may_more: bool,
    /// PAUSE-CRON: nothing happens by itself but what has a deadline of its own.
    pub pause_cron: bool,
    /// AOF-FLUSH-SLEEP: microseconds for which the loop sleeps before it appends to the log.
    pub append_sleep_us: u64,
}

impl Default for Switches {
    fn default() -> Self {
        Switches {
            active_expire: true,
            checksum: Checksum::Check,
            scripts_may_more: false,
            pause_cron: false,
            append_sleep_us: 0,
        }
    }
}
