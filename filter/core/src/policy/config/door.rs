//! What is checked before a client reaches the server.

use serde::Serializer;

section! {
/// How clients are told apart: all addresses of one prefix are one client.
pub struct ClientConfig {
    /// Leading bits that make an IPv4 client: 8 to 32.
    #[cfg_attr(feature = "schema", schemars(range(min = 8, max = 32)))]
    pub ipv4_prefix: u8,
    /// Leading bits that make an IPv6 client: 16 to 128. Whoever has one IPv6 address mostly has
    /// a whole /64.
    #[cfg_attr(feature = "schema", schemars(range(min = 16, max = 128)))]
    pub ipv6_prefix: u8,
}
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            ipv4_prefix: 32,
            ipv6_prefix: 64,
        }
    }
}

section! {
/// Our own list.
#[derive(Default)]
pub struct ListedConfig {
    /// Clients in these networks (CIDR) are refused, without any question to a DNSBL. At most
    /// 100000.
    pub networks: Vec<String>,
}
}

section! {
/// Sessions at once.
pub struct SessionsConfig {
    /// A client with this many sessions on one worker gets no more: 1 to 100000, null for no
    /// limit.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100_000)))]
    pub max_per_client: Option<u32>,
}
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self {
            // Postfix's own default (smtpd_client_connection_count_limit): honest senders with
            // twenty sessions open the next one before the server has let go of the last.
            max_per_client: Some(50),
        }
    }
}

section! {
/// How a client is refused.
pub struct RefusalConfig {
    /// The cluster that echoes a PROXY protocol line, to which refused connections go instead of
    /// the server (`envoy.yaml` has it). Null: they go to the server, whose greeting is replaced
    /// by the refusal.
    pub cluster: Option<String>,
}
}

impl Default for RefusalConfig {
    fn default() -> Self {
        Self {
            cluster: Some("portcullis_refusals".to_owned()),
        }
    }
}

section! {
/// DNS blacklists and allow-lists, asked by DNS-over-HTTPS (RFC 8484).
pub struct DnsblConfig {
    /// Which clients are looked up.
    pub lookup: LookupMode,
    /// The sites as in Postfix's `postscreen_dnsbl_sites`: `domain[=filter][*weight]`. At most 32
    /// of 16 domains.
    pub sites: Vec<String>,
    /// A client whose weights add up to this is refused: 1 to 100000, and within reach.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100_000)))]
    pub threshold: i32,
    /// The Envoy cluster of the resolver.
    pub cluster: String,
    /// The resolver's name for `:authority`.
    pub authority: String,
    /// The resolver's path.
    pub path: String,
    /// How questions are sent.
    pub method: DohMethod,
    /// Milliseconds a greeting waits for answers at most, in steps of 20: 20 to 10000. Answers that
    /// come later are for the next session.
    #[cfg_attr(feature = "schema", schemars(range(min = 20, max = 10_000)))]
    pub budget_ms: u32,
    /// Milliseconds an answer is waited for at all: 50 to 30000.
    #[cfg_attr(feature = "schema", schemars(range(min = 50, max = 30_000)))]
    pub timeout_ms: u32,
    /// Whether a listing's own text is asked for.
    pub text: TextMode,
    /// Whether addresses that no public list can know are asked about: private, loopback,
    /// documentation and other special networks.
    pub reserved: ReservedMode,
    /// What clients read instead of `replies.dnsbl`, by domain of the site that weighed most.
    #[serde(serialize_with = "by_name")]
    #[cfg_attr(feature = "schema", schemars(with = "std::collections::BTreeMap<String, String>"))]
    pub replies: Vec<(String, String)>,
    /// How long answers are believed.
    pub ttl: TtlConfig,
    /// What is remembered.
    pub cache: CacheConfig,
    /// Questions waiting for an answer on one worker; clients beyond are let in: 1 to 100000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100_000)))]
    pub in_flight: u32,
    /// When a site is left alone.
    pub breaker: BreakerConfig,
    /// Seconds between tests of each site by its test points (RFC 5782 section 5): 10 to 86400.
    #[cfg_attr(feature = "schema", schemars(range(min = 10, max = 86_400)))]
    pub self_test_s: u32,
}
}

fn by_name<S: Serializer>(texts: &[(String, String)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(texts.iter().map(|(name, text)| (name, text)))
}

impl Default for DnsblConfig {
    fn default() -> Self {
        Self {
            lookup: LookupMode::default(),
            sites: Vec::new(),
            threshold: 1,
            cluster: "dnsbl".to_owned(),
            authority: "dnsbl".to_owned(),
            path: "/dns-query".to_owned(),
            method: DohMethod::default(),
            budget_ms: 300,
            timeout_ms: 5000,
            text: TextMode::default(),
            reserved: ReservedMode::default(),
            replies: Vec::new(),
            ttl: TtlConfig::default(),
            cache: CacheConfig::default(),
            in_flight: 1000,
            breaker: BreakerConfig::default(),
            self_test_s: 3600,
        }
    }
}

choice! {
/// Which clients are looked up.
pub enum LookupMode {
    /// Every client, before it is greeted.
    #[default]
    Connect = "connect",
    /// Only a client of which the server has refused a recipient as unknown; if it is listed, its
    /// session ends.
    FirstRejection = "first-rejection",
    /// None.
    Off = "off",
}
}

choice! {
/// How questions are sent.
pub enum DohMethod {
    /// GET, which HTTP caches between here and the resolver can answer.
    #[default]
    Get = "get",
    /// POST, which keeps clients' addresses out of the resolver's access log.
    Post = "post",
}
}

choice! {
/// Whether a listing's own text is asked for.
pub enum TextMode {
    /// No.
    #[default]
    Off = "off",
    /// A client about to be refused costs one more question, for the TXT record of the site that
    /// weighed most. What it says is told to the client.
    Txt = "txt",
}
}

choice! {
/// Whether addresses of special networks are asked about.
pub enum ReservedMode {
    /// They are never asked about.
    #[default]
    Skip = "skip",
    /// They are asked about as all others, for lists of one's own.
    Ask = "ask",
}
}

section! {
/// How long answers are believed, in seconds. The DNS says how long; these are its bounds.
pub struct TtlConfig {
    /// No answer for less: 1 to 86400.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 86_400)))]
    pub min_s: u32,
    /// No answer for longer: `min_s` to 86400.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 86_400)))]
    pub max_s: u32,
    /// After an error this long passes before the same is asked again: 1 to 3600.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 3600)))]
    pub error_s: u32,
}
}

impl Default for TtlConfig {
    fn default() -> Self {
        Self {
            min_s: 60,
            max_s: 3600,
            error_s: 30,
        }
    }
}

section! {
/// What is remembered of answers.
pub struct CacheConfig {
    /// Clients each worker remembers; beyond them the one not seen for longest is forgotten: 16 to
    /// 1000000.
    #[cfg_attr(feature = "schema", schemars(range(min = 16, max = 1_000_000)))]
    pub clients: u32,
    /// Slots in which workers share answers, each of 8 clients; Envoy never frees one: 1 to 65536,
    /// or 0 to share nothing.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 65_536)))]
    pub shared_slots: u32,
}
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            clients: 20_000,
            shared_slots: 4096,
        }
    }
}

section! {
/// When a site is left alone.
pub struct BreakerConfig {
    /// This many errors in a row, and the site is not asked any more: 1 to 1000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1000)))]
    pub failures: u32,
    /// Seconds until it is tried again by its test points, doubled with each failure: 1 to 3600.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 3600)))]
    pub retry_s: u32,
    /// But never longer: `retry_s` to 86400.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 86_400)))]
    pub max_retry_s: u32,
}
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures: 5,
            retry_s: 5,
            max_retry_s: 300,
        }
    }
}
