//! gRPC calls to scripted clusters: what a server hears, and what it says.

use std::time::Duration;

use crate::clock::Timestamp;

/// Plays a gRPC server. Closures do.
pub trait GrpcAnswerer: Send + 'static {
    /// What the server says to this, told while the filter makes its hostcall.
    fn hear(&mut self, request: &GrpcRequest, heard: GrpcHeard<'_>) -> GrpcSaid;
}

impl<F: FnMut(&GrpcRequest, GrpcHeard<'_>) -> GrpcSaid + Send + 'static> GrpcAnswerer for F {
    fn hear(&mut self, request: &GrpcRequest, heard: GrpcHeard<'_>) -> GrpcSaid {
        self(request, heard)
    }
}

/// What the filter has called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcRequest {
    /// The service's full name.
    pub service: String,
    /// The method's name.
    pub method: String,
    /// The filter's initial metadata, names in lower case.
    pub metadata: Vec<(String, String)>,
    /// How long the filter waits for a whole answer; `None` for as long as it takes, as
    /// on a stream.
    pub timeout: Option<Duration>,
    /// When the call was made.
    pub at: Timestamp,
}

/// What the server notices of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcHeard<'a> {
    /// It begins.
    Opened,
    /// A message: the only one of a call, any of a stream.
    Message(&'a [u8]),
    /// No message follows.
    Ended,
}

/// What the server says at once, after a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrpcSaid {
    /// What, in this order.
    pub events: Vec<GrpcEvent>,
    /// How long after it has heard.
    pub after: Duration,
}

/// One thing that a server, or Envoy in its place, says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrpcEvent {
    /// Response headers with this metadata. They come by themselves, with none, before a
    /// message that has none before it.
    InitialMetadata(Vec<(String, String)>),
    /// A message.
    Message(Vec<u8>),
    /// The end: trailers with this status, message and metadata.
    Close {
        /// The status code, 0 for OK.
        status: u32,
        /// The status message.
        message: String,
        /// Trailing metadata.
        metadata: Vec<(String, String)>,
    },
    /// The server resets the stream.
    Reset,
    /// The connection breaks.
    Broken,
    /// Nobody listens there: Envoy's own answer.
    Refused,
}

impl GrpcSaid {
    /// Says nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Says one message.
    ///
    /// ```
    /// use portcullis_host_sim::GrpcSaid;
    ///
    /// let answer = GrpcSaid::message("pong").and_close(0, "");
    /// assert_eq!(answer.events.len(), 2);
    /// ```
    #[must_use]
    pub fn message(bytes: impl Into<Vec<u8>>) -> Self {
        Self::nothing().and(GrpcEvent::Message(bytes.into()))
    }

    /// Ends with this status and nothing else.
    #[must_use]
    pub fn close(status: u32, message: impl Into<String>) -> Self {
        Self::nothing().and_close(status, message)
    }

    /// The same, and then this.
    #[must_use]
    pub fn and(mut self, event: GrpcEvent) -> Self {
        self.events.push(event);
        self
    }

    /// The same, and then the end with this status.
    #[must_use]
    pub fn and_close(self, status: u32, message: impl Into<String>) -> Self {
        self.and(GrpcEvent::Close {
            status,
            message: message.into(),
            metadata: Vec::new(),
        })
    }

    /// The same, so long after the server has heard.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.after = time;
        self
    }
}

/// One gRPC call or stream the filter made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcCallout {
    /// The cluster it named.
    pub cluster: String,
    /// The worker it was made on.
    pub worker: usize,
    /// What was called, and when.
    pub request: GrpcRequest,
    /// The messages the filter has sent.
    pub sent: Vec<Vec<u8>>,
    /// What has come of it.
    pub outcome: GrpcOutcome,
}

/// What has come of a gRPC call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcOutcome {
    /// It goes on.
    Open,
    /// The filter was given a message, which is all it is told of a call that succeeds.
    Answered,
    /// The filter was told that it is over, with this status.
    Closed(u32),
    /// The filter cancelled it.
    Cancelled,
    /// The VM died first.
    Dropped,
    /// The hostcall was refused.
    Rejected,
}
