//! What is recorded, and what is only recorded.

section! {
/// What is only recorded while all else is carried out: a policy is tried so, a rule or a few
/// clients at a time.
#[derive(Default)]
pub struct ObserveConfig {
    /// These rules are only observed: the names of rules as in records, but for `desync`, which has
    /// a setting of its own; `"ledger"` stands for all `ledger.` rules and `traps.recipients`.
    pub rules: Vec<String>,
    /// This many of a hundred clients are only observed, always the same ones: 0 to 100.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 100)))]
    pub percent: u32,
}
}

section! {
/// Which sessions are recorded in the access log.
pub struct RecordConfig {
    /// Which ones.
    pub sessions: RecordMode,
    /// With `"sampled"` this many of a hundred that no rule was met by: 0 to 100.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 100)))]
    pub percent: u32,
}
}

impl Default for RecordConfig {
    fn default() -> Self {
        Self {
            sessions: RecordMode::default(),
            percent: 10,
        }
    }
}

choice! {
/// Which sessions are recorded.
pub enum RecordMode {
    /// Every one.
    #[default]
    All = "all",
    /// Those that met a rule, be it only observed, and some of the others.
    Sampled = "sampled",
    /// Those that met a rule, be it only observed.
    ActedOn = "acted-on",
    /// None.
    Off = "off",
}
}
