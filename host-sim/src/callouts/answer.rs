//! What a scripted cluster answers.

use std::time::Duration;

use super::{CalloutOutcome, HttpRequest};

/// The largest body Envoy collects for a filter: 33,000,000 bytes were seen to
/// pass, 33,600,000 were not.
const LARGEST_BODY: usize = 32 * 1024 * 1024;

/// Decides what a cluster answers. Closures do; what they share with the test
/// can change the cluster during a run.
pub trait Answerer: Send + 'static {
    /// The answer to this request, asked for while the filter makes its call.
    fn answer(&mut self, request: &HttpRequest) -> HttpAnswer;
}

impl<F: FnMut(&HttpRequest) -> HttpAnswer + Send + 'static> Answerer for F {
    fn answer(&mut self, request: &HttpRequest) -> HttpAnswer {
        self(request)
    }
}

/// What comes of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpAnswer {
    /// A response, whole, after a time.
    Respond {
        /// The response.
        response: HttpResponse,
        /// The time from the call.
        after: Duration,
    },
    /// Nobody listens there: Envoy's own 503.
    Refused,
    /// The connection breaks before a response: Envoy's own 503.
    Reset,
    /// The server resets the HTTP/2 stream before a response: Envoy's own 503.
    ResetStream,
    /// The stream breaks in the middle of a response: Envoy gives the filter nothing of
    /// it, but a callback without headers.
    Truncated {
        /// The time from the call.
        after: Duration,
    },
    /// Nothing comes: Envoy's own 504 when the call's time is over.
    Never,
}

/// A response as the filter reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// The headers, `:status` first.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The trailers.
    pub trailers: Vec<(String, String)>,
}

impl HttpResponse {
    fn new(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let status_header = (":status".to_owned(), status.to_string());
        Self {
            status,
            headers: std::iter::once(status_header)
                .chain(owned(headers))
                .collect(),
            body: body.into(),
            trailers: Vec::new(),
        }
    }

    /// What Envoy says itself where no response came. Unlike a real one it has no
    /// `x-envoy-upstream-service-time`.
    fn local(status: u16, text: &str) -> Self {
        let length = text.len().to_string();
        let headers = [
            ("content-length", length.as_str()),
            ("content-type", "text/plain"),
        ];
        Self::new(status, &headers, text)
    }
}

impl HttpAnswer {
    /// A response at once; [`after`](Self::after) makes it later.
    ///
    /// ```
    /// use std::time::Duration;
    /// use portcullis_host_sim::HttpAnswer;
    ///
    /// let slow = HttpAnswer::respond(200, &[("content-type", "text/plain")], "hello")
    ///     .after(Duration::from_millis(30));
    /// assert!(matches!(slow, HttpAnswer::Respond { response, .. } if response.body == b"hello"));
    /// ```
    #[must_use]
    pub fn respond(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        Self::Respond {
            response: HttpResponse::new(status, headers, body),
            after: Duration::ZERO,
        }
    }

    /// The same response, so long after the call. Answers without a response
    /// come when they come.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        if let Self::Respond { after, .. } | Self::Truncated { after } = &mut self {
            *after = time;
        }
        self
    }

    /// A response that breaks off in the middle, as late as this one would have come.
    #[must_use]
    pub fn truncated(self) -> Self {
        match self {
            Self::Respond { after, .. } => Self::Truncated { after },
            other => other,
        }
    }

    /// The same response, with these trailers.
    #[must_use]
    pub fn trailers(mut self, trailers: &[(&str, &str)]) -> Self {
        if let Self::Respond { response, .. } = &mut self {
            response.trailers = owned(trailers).collect();
        }
        self
    }

    /// When the callback is due, what it shows, and how the call is then remembered.
    pub(super) fn come_to(
        self,
        timeout: Option<Duration>,
    ) -> (Duration, Option<HttpResponse>, CalloutOutcome) {
        let limit = timeout.unwrap_or(Duration::MAX);
        match self {
            Self::Respond { after, .. } | Self::Truncated { after } if after >= limit => {
                timed_out(limit)
            }
            Self::Never => timed_out(limit),
            Self::Respond { response, after } if response.body.len() > LARGEST_BODY => {
                drop(response);
                (after, None, CalloutOutcome::TooLarge)
            }
            Self::Respond { response, after } => {
                let outcome = CalloutOutcome::Answered(response.status);
                (after, Some(served(response, after)), outcome)
            }
            Self::Truncated { after } => (after, None, CalloutOutcome::Truncated),
            Self::ResetStream => broken("remote reset", CalloutOutcome::Reset),
            Self::Refused => broken("remote connection failure", CalloutOutcome::Refused),
            Self::Reset => broken("connection termination", CalloutOutcome::Reset),
        }
    }
}

/// A response with the header by which a filter can tell that it is real.
fn served(mut response: HttpResponse, after: Duration) -> HttpResponse {
    let name = "x-envoy-upstream-service-time".to_owned();
    response.headers.push((name, after.as_millis().to_string()));
    response
}

fn timed_out(limit: Duration) -> (Duration, Option<HttpResponse>, CalloutOutcome) {
    let response = HttpResponse::local(504, "upstream request timeout");
    (limit, Some(response), CalloutOutcome::TimedOut)
}

fn broken(
    reason: &str,
    outcome: CalloutOutcome,
) -> (Duration, Option<HttpResponse>, CalloutOutcome) {
    let text = format!(
        "upstream connect error or disconnect/reset before headers. reset reason: {reason}"
    );
    let response = HttpResponse::local(503, &text);
    (Duration::ZERO, Some(response), outcome)
}

fn owned<'a>(pairs: &'a [(&str, &str)]) -> impl Iterator<Item = (String, String)> + 'a {
    let pairs = pairs.iter();
    pairs.map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned()))
}
