//! Why an answer says nothing about a client.

/// What went wrong with one question. None of these is a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The resolver could not find out (RFC 1035 section 4.1.1, code 2).
    ServFail,
    /// The resolver or the list would not say (code 5).
    RefusedByServer,
    /// Any other response code but success and "no such name".
    ResponseCode(u8),
    /// Not a DNS response, or one that cannot be read to its end.
    Malformed,
    /// The TC bit: what is missing could change the answer (RFC 1035 section 4.1.1).
    Truncated,
    /// A response to something we did not ask.
    OtherQuestion,
    /// An address in 127.255.255.0/24, by which lists say that they refuse the one who asks.
    ErrorCode,
    /// An address outside 127.0.0.0/8: a lapsed domain or a lying resolver (RFC 5782 section 2.1).
    OutsideLoopback,
    /// 127.0.0.1, which no list may give for a listing (RFC 5782 sections 2.1 and 5).
    TestPoint,
    /// Any HTTP status but 200.
    HttpStatus(u16),
    /// The body is not `application/dns-message` (RFC 8484 section 6).
    ContentType,
    /// The body is longer than [`super::MAX_BODY`].
    TooLong,
    /// No answer in time.
    Timeout,
    /// The resolver could not be reached.
    Unreachable,
    /// The proxy knows no cluster of the configured name.
    NoCluster,
}

impl Fault {
    /// The names of all faults.
    pub const NAMES: [&'static str; 15] = [
        "servfail",
        "refused_by_server",
        "response_code",
        "malformed",
        "truncated",
        "other_question",
        "error_code",
        "outside_loopback",
        "test_point",
        "http_status",
        "content_type",
        "too_long",
        "timeout",
        "unreachable",
        "no_cluster",
    ];

    /// The fault's name in metrics and logs, without its value.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ServFail => "servfail",
            Self::RefusedByServer => "refused_by_server",
            Self::ResponseCode(_) => "response_code",
            Self::Malformed => "malformed",
            Self::Truncated => "truncated",
            Self::OtherQuestion => "other_question",
            Self::ErrorCode => "error_code",
            Self::OutsideLoopback => "outside_loopback",
            Self::TestPoint => "test_point",
            Self::HttpStatus(_) => "http_status",
            Self::ContentType => "content_type",
            Self::TooLong => "too_long",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::NoCluster => "no_cluster",
        }
    }
}
