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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Units {
    #[default]
    Between,
    Inside {
        bytes: u64,
    },
}

impl Units {
    /// A complete command called `name` that took `bytes` bytes of the stream.
    pub fn feed(&mut self, name: &[u8], bytes: u64) -> Cut {
        let multi = name.eq_ignore_ascii_case(b"MULTI");
        let exec = name.eq_ignore_ascii_case(b"EXEC");
        match *self {
            Units::Between if multi => {
                *self = Units::Inside { bytes };
                Cut::Open
            }
            Units::Between if exec => Cut::Broken,
            Units::Between => Cut::Whole { bytes },
            Units::Inside { .. } if multi => Cut::Broken,
            Units::Inside { bytes: before } if exec => {
                *self = Units::Between;
                Cut::Whole { bytes: before + bytes }
            }
            Units::Inside { bytes: before } => {
                *self = Units::Inside { bytes: before + bytes };
                Cut::Open
            }
        }
    }

    /// Bytes of the stream that belong to no unit (a bare newline between commands): they join the next one.
    pub fn pending_bytes(&self) -> u64 {
        match *self {
            Units::Between => 0,
            Units::Inside { bytes } => bytes,
        }
    }
}
