//! Cuts the stream into whole units: one command, or MULTI to EXEC. Log, acknowledgements and sub-replicas see whole
//! units only, so that no restart and no promotion can stand in the middle of a transaction.

/// What a command did to the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The unit goes on.
    Open,
    /// The unit ends with this command; it has `bytes` bytes in all.
    Whole { bytes: u64 },
    /// EXEC without MULTI, or MULTI inside MULTI: the stream is not what a master sends.
    Broken,
}

/// The cutter; fed with each complete command in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// Outside a transaction; `carried` bytes between commands belong to the next unit.
    Between {
        carried: u64,
    },
    Inside {
        bytes: u64,
    },
}

impl Default for Units {
    fn default() -> Self {
        Units::Between { carried: 0 }
    }
}

impl Units {
    /// A complete command called `name` that took `bytes` bytes of the stream.
    pub fn feed(&mut self, name: &[u8], bytes: u64) -> Cut {
        let multi = name.eq_ignore_ascii_case(b"MULTI");
        let exec = name.eq_ignore_ascii_case(b"EXEC");
        match *self {
            Units::Between { carried } if multi => {
                *self = Units::Inside { bytes: carried + bytes };
                Cut::Open
            }
            Units::Between { .. } if exec => Cut::Broken,
            Units::Between { carried } => {
                *self = Units::default();
                Cut::Whole { bytes: carried + bytes }
            }
            Units::Inside { .. } if multi => Cut::Broken,
            Units::Inside { bytes: before } if exec => {
                *self = Units::default();
                Cut::Whole { bytes: before + bytes }
            }
            Units::Inside { bytes: before } => {
                *self = Units::Inside { bytes: before + bytes };
                Cut::Open
            }
        }
    }

    /// Bytes between commands (a bare newline): part of the stream, and of the next unit.
    pub fn skip(&mut self, more: u64) {
        match self {
            Units::Between { carried: bytes } | Units::Inside { bytes } => *bytes += more,
        }
    }

    /// Is a transaction open?
    pub fn inside(&self) -> bool {
        matches!(self, Units::Inside { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_a_command_or_a_transaction() {
        let mut units = Units::default();
        assert_eq!(units.feed(b"SET", 10), Cut::Whole { bytes: 10 });
        units.skip(2);
        assert_eq!(units.feed(b"multi", 15), Cut::Open);
        assert!(units.inside());
        assert_eq!(units.feed(b"SET", 10), Cut::Open);
        units.skip(1);
        assert_eq!(units.feed(b"Exec", 14), Cut::Whole { bytes: 42 });
        assert_eq!(units.feed(b"PING", 14), Cut::Whole { bytes: 14 });
    }

    #[test]
    fn what_no_master_sends_is_told() {
        assert_eq!(Units::default().feed(b"EXEC", 14), Cut::Broken);
        let mut units = Units::default();
        units.feed(b"MULTI", 15);
        assert_eq!(units.feed(b"MULTI", 15), Cut::Broken);
    }
}
