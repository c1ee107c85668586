//! A call, as the cluster sees it and as a test looks back on it.

use std::time::Duration;

use crate::clock::Timestamp;

/// What the filter asked a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// The headers in the filter's order, names in lower case; `:path`,
    /// `:method` and `:authority` are among them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The trailers.
    pub trailers: Vec<(String, String)>,
    /// How long the filter waits for the whole response; `None` for as long as it
    /// takes, which is what the ABI's 0 was seen to mean in Envoy.
    pub timeout: Option<Duration>,
    /// When the call was made.
    pub at: Timestamp,
}

impl HttpRequest {
    /// The first header with this name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(given, _)| given == name);
        found.next().map(|(_, value)| value.as_str())
    }
}

/// One call the filter made, or tried to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callout {
    /// The cluster it named.
    pub cluster: String,
    /// The worker it was made on.
    pub worker: usize,
    /// What was asked, and when.
    pub request: HttpRequest,
    /// What has come of it.
    pub outcome: CalloutOutcome,
}

/// What has come of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalloutOutcome {
    /// Its answer is still to come.
    Pending,
    /// The filter was given a response with this status.
    Answered(u16),
    /// The filter was given Envoy's own 503: nobody listens there.
    Refused,
    /// The filter was given Envoy's own 503: the connection broke.
    Reset,
    /// The response broke off in the middle: the filter was called with nothing.
    Truncated,
    /// The filter was given Envoy's own 504.
    TimedOut,
    /// The body was too large: the filter was called with nothing.
    TooLarge,
    /// The VM died first.
    Dropped,
    /// `BadArgument`: no such cluster, or a missing pseudo-header.
    Rejected,
    /// `InternalFailure`: the cluster has no hosts.
    NoHosts,
}
