//! What is remembered of clients between sessions, and what follows from it.

section! {
/// What is remembered of clients over all their sessions, by all workers.
pub struct LedgerConfig {
    /// A client whose unknown recipients, over all its sessions, add up to this is listed: 1 to
    /// 10000, null for no limit. Each counts half after `half_life_s`.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 10_000)))]
    pub max_score: Option<u32>,
    /// Seconds in which a score halves: 60 to 604800.
    #[cfg_attr(feature = "schema", schemars(range(min = 60, max = 604_800)))]
    pub half_life_s: u32,
    /// But no client is listed for its unknown recipients that has not more than this many of them
    /// for each hundred delivered ones: 0 to 10000.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 10_000)))]
    pub ratio_percent: u32,
    /// How long clients stay listed.
    pub listing: ListingConfig,
    /// Who is known for good mail.
    pub standing: StandingConfig,
    /// Slots in which workers remember clients, each of at most 24; Envoy never frees one: 1 to
    /// 65536, or 0 to remember nothing.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 65_536)))]
    pub slots: u32,
}
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            max_score: Some(10),
            half_life_s: 3600,
            ratio_percent: 50,
            listing: ListingConfig::default(),
            standing: StandingConfig::default(),
            slots: 32_768,
        }
    }
}

section! {
/// How long clients stay listed.
pub struct ListingConfig {
    /// Seconds at first, doubled each time: 1 to 2592000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 2_592_000)))]
    pub first_s: u32,
    /// But never longer: `first_s` to 2592000. After as long again without a listing the next one
    /// is a first.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 2_592_000)))]
    pub max_s: u32,
}
}

impl Default for ListingConfig {
    fn default() -> Self {
        Self {
            first_s: 3600,
            max_s: 86_400,
        }
    }
}

section! {
/// Who is known for good mail: limits on unknown recipients do not hold for such clients, as long
/// as their unknown recipients stay within `ledger.ratio_percent` of the delivered ones.
pub struct StandingConfig {
    /// Recipients of messages that the server has taken, from which on a client is known: 1 to
    /// 10000, null if nobody ever is.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 10_000)))]
    pub min_delivered: Option<u32>,
    /// Seconds in which a delivered recipient comes to count half: 60 to 2592000.
    #[cfg_attr(feature = "schema", schemars(range(min = 60, max = 2_592_000)))]
    pub half_life_s: u32,
}
}

impl Default for StandingConfig {
    fn default() -> Self {
        Self {
            min_delivered: Some(20),
            half_life_s: 604_800,
        }
    }
}

section! {
/// Recipients that never existed: whoever tries one guesses.
#[derive(Default)]
pub struct TrapsConfig {
    /// Mailboxes, in any case, `*` standing for any characters: `"sales-old@example.com"`,
    /// `"*@unused.example"`. The first RCPT for one lists the client, unless it is known for good
    /// mail; the server is not asked. At most 1000 of at most 320 octets.
    pub recipients: Vec<String>,
}
}

section! {
/// Attacks by many clients, of which each alone does little.
pub struct AttackConfig {
    /// Whether attacks are looked for.
    pub detect: DetectMode,
    /// An attack is under way when this many of a hundred recipients, over all clients and the last
    /// minute or so, are unknown: 1 to 100.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100)))]
    pub enter_percent: u32,
    /// And over when no more than this many are: 0 to `enter_percent`.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 100)))]
    pub leave_percent: u32,
    /// But fewer unknown recipients a minute on a worker are none: 1 to 1000000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1_000_000)))]
    pub min_rejected: u32,
    /// Or when this many clients have tried the same unknown recipient, three such recipients
    /// together: 2 to 32, null if that is no sign.
    #[cfg_attr(feature = "schema", schemars(range(min = 2, max = 32)))]
    pub clients_per_name: Option<u32>,
    /// Seconds an attack lasts at least: 1 to 86400.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 86_400)))]
    pub hold_s: u32,
    /// Meanwhile this takes the place of `rcpt.max_consecutive` for clients not known for good
    /// mail: 1 to 1000, null to leave that as it is.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1000)))]
    pub max_consecutive: Option<u32>,
    /// And this of `ledger.max_score`: 1 to 10000, null to leave that as it is.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 10_000)))]
    pub max_score: Option<u32>,
}
}

impl Default for AttackConfig {
    fn default() -> Self {
        Self {
            detect: DetectMode::default(),
            enter_percent: 50,
            leave_percent: 20,
            min_rejected: 100,
            clients_per_name: Some(10),
            hold_s: 300,
            max_consecutive: Some(3),
            max_score: Some(5),
        }
    }
}

choice! {
/// Whether attacks are looked for.
pub enum DetectMode {
    /// Yes.
    #[default]
    On = "on",
    /// No.
    Off = "off",
}
}

section! {
/// Recipients that the server has just called unknown, remembered by each worker.
pub struct UnknownConfig {
    /// Which of them the guard answers by itself, for clients not known for good mail.
    pub answer: AnswerMode,
    /// Seconds a recipient stays unknown: 1 to 3600. So long a new mailbox may seem missing.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 3600)))]
    pub ttl_s: u32,
    /// Recipients each worker remembers; beyond them the one not asked for longest is forgotten: 1
    /// to 100000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100_000)))]
    pub recipients: u32,
}
}

impl Default for UnknownConfig {
    fn default() -> Self {
        Self {
            answer: AnswerMode::default(),
            ttl_s: 60,
            recipients: 4096,
        }
    }
}

choice! {
/// Which unknown recipients the guard answers.
pub enum AnswerMode {
    /// Those the server refused for good (5yz).
    #[default]
    Permanent = "permanent",
    /// Those it refused for now (4yz), too.
    All = "all",
    /// None.
    Off = "off",
}
}

section! {
/// A store that several guards share: Redis behind Webdis, its interface for HTTP.
pub struct FleetConfig {
    /// The Envoy cluster of the store; null for a guard on its own.
    pub cluster: Option<String>,
    /// The store's name for `:authority`.
    pub authority: String,
    /// Its `authorization` header, as `"Basic Z3VhcmQ6c2VjcmV0"`; null for none.
    pub authorization: Option<String>,
    /// What every key in the store begins with: guards with the same one are one fleet.
    pub prefix: String,
    /// Milliseconds between looks at what the others have listed, in steps of 100: 20 to 60000.
    #[cfg_attr(feature = "schema", schemars(range(min = 20, max = 60_000)))]
    pub poll_ms: u32,
    /// Milliseconds an answer is waited for: 50 to 30000. No mail ever waits for one.
    #[cfg_attr(feature = "schema", schemars(range(min = 50, max = 30_000)))]
    pub timeout_ms: u32,
    /// Clients of which news wait to be written, on each worker; beyond them the oldest news are
    /// lost to the others: 16 to 100000.
    #[cfg_attr(feature = "schema", schemars(range(min = 16, max = 100_000)))]
    pub queued: u32,
}
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self {
            cluster: None,
            authority: "webdis".to_owned(),
            authorization: None,
            prefix: "portcullis".to_owned(),
            poll_ms: 200,
            timeout_ms: 1000,
            queued: 10_000,
        }
    }
}

section! {
/// Slow answers for clients that guess.
pub struct TarpitConfig {
    /// Listed clients that each worker keeps busy at once, without the server, by a slow dialogue
    /// of its own; those beyond are refused as usual: 1 to 10000, 0 to refuse all. Needs
    /// `refusal.cluster`.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 10_000)))]
    pub sessions: u32,
    /// Milliseconds before each answer in that dialogue: 20 to 60000.
    #[cfg_attr(feature = "schema", schemars(range(min = 20, max = 60_000)))]
    pub reply_ms: u32,
    /// Seconds until such a dialogue is ended: 1 to 3600.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 3600)))]
    pub max_s: u32,
    /// Milliseconds that the commands of clients not known for good mail wait, for each point of
    /// their score: 0 to 10000.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 10_000)))]
    pub delay_ms: u32,
    /// But never longer: 20 to 60000.
    #[cfg_attr(feature = "schema", schemars(range(min = 20, max = 60_000)))]
    pub max_delay_ms: u32,
}
}

impl Default for TarpitConfig {
    fn default() -> Self {
        Self {
            sessions: 0,
            reply_ms: 5000,
            max_s: 300,
            delay_ms: 0,
            max_delay_ms: 5000,
        }
    }
}
