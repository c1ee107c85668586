//! What is recorded, what is only recorded, and what is written down.

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

section! {
/// Which sessions are written down in the access log: what both sides said and when, without
/// messages and secrets, to be read and replayed.
pub struct TranscriptsConfig {
    /// Which ones.
    pub sessions: TranscriptMode,
    /// With `"chosen"`: those with so many rejected recipients, with what came before: 1 to 1000,
    /// null for none.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1000)))]
    pub after_rejections: Option<u32>,
    /// With `"chosen"`: all of clients in these networks (CIDR). At most 1000.
    pub networks: Vec<String>,
    /// With `"chosen"`: so many of a hundred of the others: 0 to 100.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 100)))]
    pub percent: u32,
    /// Octets kept of one session; what is beyond is only counted: 1024 to 1048576.
    #[cfg_attr(feature = "schema", schemars(range(min = 1024, max = 1_048_576)))]
    pub max_bytes: u32,
    /// Octets kept of all sessions of one worker at once; beyond them, transcripts are shortened or
    /// dropped: 65536 to 1073741824.
    #[cfg_attr(feature = "schema", schemars(range(min = 65536, max = 1_073_741_824)))]
    pub max_worker_bytes: u32,
}
}

impl Default for TranscriptsConfig {
    fn default() -> Self {
        Self {
            sessions: TranscriptMode::default(),
            after_rejections: Some(1),
            networks: Vec::new(),
            percent: 0,
            max_bytes: 16384,
            max_worker_bytes: 8 * 1024 * 1024,
        }
    }
}

choice! {
/// Which sessions are written down.
pub enum TranscriptMode {
    /// None.
    #[default]
    Off = "off",
    /// Those that `after_rejections`, `networks` or `percent` choose.
    Chosen = "chosen",
    /// Every one.
    All = "all",
}
}
