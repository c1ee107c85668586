//! The configuration as it is written: one JSON object, every field optional, unknown ones refused.

#[macro_use]
mod declare;
mod read;

mod door;
mod memory;
mod watching;

pub use door::{
    BreakerConfig, CacheConfig, ClientConfig, DnsblConfig, DohMethod, ListedConfig, LookupMode,
    RefusalConfig, ReservedMode, SessionsConfig, TextMode, TtlConfig,
};
pub use memory::{
    AnswerMode, AttackConfig, DetectMode, FleetConfig, LedgerConfig, ListingConfig, StandingConfig,
    TarpitConfig, TrapsConfig, UnknownConfig,
};
pub(super) use read::read;
pub use watching::{ObserveConfig, RecordConfig, RecordMode, TranscriptMode, TranscriptsConfig};

section! {
/// What Portcullis does with the sessions of one listener.
#[derive(Default)]
pub struct Config {
    /// What records call this policy: 1 to 64 printable octets without blanks, null for a hash of
    /// what is written here.
    pub version: Option<String>,
    /// Whether verdicts are carried out or only recorded.
    pub mode: Mode,
    /// What is only recorded while all else is carried out.
    pub observe: ObserveConfig,
    /// Which sessions are recorded in the access log.
    pub record: RecordConfig,
    /// Which sessions are written down in the access log, word for word.
    pub transcripts: TranscriptsConfig,
    /// Rejected recipients.
    pub rcpt: RcptConfig,
    /// RSET and its like.
    pub reset: ResetConfig,
    /// Who is left alone.
    pub exempt: ExemptConfig,
    /// What happens when replies and commands no longer pair.
    pub desync: DesyncMode,
    /// What happens to a message that servers may end at different places.
    pub smuggling: SmugglingMode,
    /// What happens to STARTTLS where nothing before the guard ends TLS.
    pub starttls: StartTlsMode,
    /// How clients are told apart.
    pub client: ClientConfig,
    /// Sessions at once.
    pub sessions: SessionsConfig,
    /// Our own list.
    pub listed: ListedConfig,
    /// The lists of others.
    pub dnsbl: DnsblConfig,
    /// What is remembered of clients between sessions.
    pub ledger: LedgerConfig,
    /// Recipients that never existed.
    pub traps: TrapsConfig,
    /// Attacks by many clients.
    pub attack: AttackConfig,
    /// Recipients just called unknown.
    pub unknown: UnknownConfig,
    /// Other guards.
    pub fleet: FleetConfig,
    /// Slow answers.
    pub tarpit: TarpitConfig,
    /// How a client is refused.
    pub refusal: RefusalConfig,
    /// How a connection is closed.
    pub close: CloseConfig,
    /// What the client reads. Placeholders: `{client}`, `{consecutive}`, `{rejected}`, `{tried}`,
    /// `{wasted}`; for clients refused by a DNSBL also `{site}` (the one that weighed most),
    /// `{codes}` (its addresses) and `{reason}` (`; ` and its text, if it was asked for).
    pub replies: RepliesConfig,
    /// Bounds on memory.
    pub limits: LimitsConfig,
}
}

choice! {
/// Whether verdicts are carried out.
pub enum Mode {
    /// Verdicts are carried out.
    #[default]
    Enforce = "enforce",
    /// Nothing is touched; verdicts are logged and counted.
    Observe = "observe",
}
}

impl Mode {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        }
    }
}

section! {
/// Recipients the server does not know, counted over one session. Nothing resets the total.
pub struct RcptConfig {
    /// This many in a row close the session: 1 to 1000, null for no limit.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1000)))]
    pub max_consecutive: Option<u32>,
    /// This many in all close the session: 1 to 100000, null for no limit.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100_000)))]
    pub max_total: Option<u32>,
    /// What happens to pipelined RCPTs beyond what the session may still get wrong.
    pub metering: Metering,
    /// Substrings, in any case, by which a 4yz or 5yz reply without a telling status code says
    /// that the mailbox is unknown. At most 64 of at most 128 octets.
    pub rejected_text: Vec<String>,
}
}

impl Default for RcptConfig {
    fn default() -> Self {
        let texts = [
            "no such user",
            "user unknown",
            "unknown user",
            "mailbox unavailable",
            "mailbox not found",
            "does not exist",
        ];
        Self {
            max_consecutive: Some(5),
            max_total: Some(10),
            metering: Metering::default(),
            rejected_text: texts.map(str::to_owned).to_vec(),
        }
    }
}

choice! {
/// What happens to pipelined RCPTs beyond what the session may still get wrong.
pub enum Metering {
    /// They wait in the guard until replies to the earlier ones are in.
    #[default]
    Hold = "hold",
    /// They are answered `452 4.5.3` without asking the server; honest clients try them again.
    /// For hosts that cannot send held bytes on later.
    Reply452 = "reply-452",
}
}

section! {
/// RSET, and what else ends a transaction: EHLO, HELO, LHLO, a new MAIL.
pub struct ResetConfig {
    /// What a reset means.
    pub mode: ResetMode,
    /// This many wasted transactions (rejected recipients, none accepted) that were ended by a
    /// reset close the session: 1 to 1000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1000)))]
    pub max_wasted: u32,
    /// But only with at least this many rejected recipients: 1 to 1000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1000)))]
    pub min_rejected: u32,
}
}

impl Default for ResetConfig {
    fn default() -> Self {
        Self {
            mode: ResetMode::default(),
            max_wasted: 2,
            min_rejected: 2,
        }
    }
}

choice! {
/// What a reset means.
pub enum ResetMode {
    /// Wasted transactions are counted.
    #[default]
    Count = "count",
    /// Any RSET is answered `502` and the connection closed. RFC 5321 section 4.1.1.5 forbids
    /// it: honest clients that send RSET are cut too.
    Strict = "strict",
    /// Resets mean nothing.
    Off = "off",
}
}

section! {
/// Who is left alone.
pub struct ExemptConfig {
    /// Clients in these networks (CIDR) are never acted upon. At most 1000.
    pub networks: Vec<String>,
    /// Sessions are left alone once AUTH has succeeded (235).
    pub authenticated: bool,
    /// Sessions are left alone whose client has shown a certificate that Envoy verified.
    pub verified_clients: bool,
}
}

impl Default for ExemptConfig {
    fn default() -> Self {
        Self {
            networks: Vec::new(),
            authenticated: true,
            verified_clients: false,
        }
    }
}

choice! {
/// What happens when the server says something nobody asked for, so that replies and commands no
/// longer pair.
pub enum DesyncMode {
    /// The rest of the session passes unmetered; replies that can only mean an unknown mailbox
    /// still count towards `rcpt.max_total`.
    #[default]
    Pass = "pass",
    /// The session is closed with a 421.
    Close = "close",
}
}

choice! {
/// What happens to a message with a lone dot between bare line ends: a server that takes it for the
/// end reads what follows as commands ("SMTP smuggling"), past all metering.
pub enum SmugglingMode {
    /// The session is closed before the dot reaches the server. It ends without a last word, which
    /// the server would have to make room for. RFC 5321 section 2.3.8 forbids bare line ends.
    #[default]
    Close = "close",
    /// The message passes; the session is closed once the server has answered more than was asked.
    Pass = "pass",
}
}

choice! {
/// What happens to STARTTLS where nothing before the guard ends TLS. With the module of the same name
/// in the filter chain, TLS ends there and the guard sees all, whatever this says; where the
/// connection is under TLS from the start, STARTTLS is never offered.
pub enum StartTlsMode {
    /// The server may offer it. A session that takes it up passes unread from there on; rules for
    /// connections and clients still hold.
    #[default]
    Pass = "pass",
    /// It is taken out of the server's offers, and answered `502`. Mail comes in cleartext.
    Hide = "hide",
}
}

section! {
/// How a connection is closed.
pub struct CloseConfig {
    /// Milliseconds between the last word and the end of the stream, in which what the client
    /// still sends is read and dropped: 0 to 5000. Unread bytes at the close make the kernel send
    /// a reset, at which some systems throw away the last word. Ended early by QUIT or by the
    /// client's own end of stream.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 5000)))]
    pub linger_ms: u32,
}
}

impl Default for CloseConfig {
    fn default() -> Self {
        Self { linger_ms: 100 }
    }
}

section! {
/// One line each: a 4yz or 5yz code, a space, printable ASCII, at most 512 octets.
pub struct RepliesConfig {
    /// For `rcpt.max_consecutive`.
    pub rcpt_consecutive: String,
    /// For `rcpt.max_total`, and for recipients hidden behind an unanswered DATA.
    pub rcpt_total: String,
    /// For `reset.max_wasted`.
    pub wasted: String,
    /// For `reset.mode: "strict"`.
    pub reset_strict: String,
    /// For recipients beyond the budget with `rcpt.metering: "reply-452"`.
    pub metered: String,
    /// For a session whose dialogue can no longer be followed.
    pub desync: String,
    /// For clients on DNS blacklists.
    pub dnsbl: String,
    /// For clients on our own list.
    pub listed: String,
    /// For clients that the ledger lists, and for their other sessions.
    pub ledger: String,
    /// For recipients that the guard answers without asking the server.
    pub unknown: String,
    /// The same where the server refused them for now: a 4yz code, or honest mail bounces.
    pub unknown_for_now: String,
    /// For clients with too many sessions at once.
    pub sessions: String,
}
}

impl Default for RepliesConfig {
    fn default() -> Self {
        let closing = |what: &str| format!("421 4.7.0 {what}, closing connection");
        Self {
            rcpt_consecutive: closing("Too many unknown recipients in a row ({consecutive})"),
            rcpt_total: closing("Too many unknown recipients ({rejected})"),
            wasted: closing("Too many transactions without a known recipient ({wasted})"),
            reset_strict: "502 5.5.1 RSET not accepted, closing connection".to_owned(),
            metered: "452 4.5.3 Too many recipients for now, try this one again".to_owned(),
            desync: closing("Dialogue out of step"),
            dnsbl: "554 5.7.1 Service unavailable; client [{client}] blocked using {site}{reason}"
                .to_owned(),
            listed: "554 5.7.1 Service unavailable; client [{client}] blocked using our own list"
                .to_owned(),
            ledger: "421 4.7.1 Service unavailable; client [{client}] tried too many unknown \
                     recipients, try again later"
                .to_owned(),
            unknown: "550 5.1.1 User unknown".to_owned(),
            unknown_for_now: "450 4.1.1 User unknown".to_owned(),
            sessions: "421 4.7.0 Too many sessions from [{client}], try again later".to_owned(),
        }
    }
}

section! {
/// Bounds on memory, for each session.
pub struct LimitsConfig {
    /// Octets of a command line that are waited for; longer lines pass as they come: 512 to 65536.
    #[cfg_attr(feature = "schema", schemars(range(min = 512, max = 65536)))]
    pub command_line: u32,
    /// Octets of a reply that are waited for: 512 to 65536.
    #[cfg_attr(feature = "schema", schemars(range(min = 512, max = 65536)))]
    pub reply: u32,
    /// Octets of commands that wait in the guard; beyond them the host's buffer fills and the
    /// client is slowed down: 1024 to 1048576, and more than `command_line`.
    #[cfg_attr(feature = "schema", schemars(range(min = 1024, max = 1_048_576)))]
    pub held: u32,
    /// Replies that may be owed at once before further commands wait: 16 to 10000.
    #[cfg_attr(feature = "schema", schemars(range(min = 16, max = 10000)))]
    pub owed_replies: u32,
    /// Milliseconds a client may take from the `220` to STARTTLS until its first word under TLS,
    /// then the connection is closed: 1000 to 600000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1000, max = 600_000)))]
    pub handshake_ms: u32,
}
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            command_line: 4096,
            reply: 8192,
            held: 65536,
            owed_replies: 256,
            handshake_ms: 30_000,
        }
    }
}
