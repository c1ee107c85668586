//! HTTP and gRPC calls to scripted clusters, on the virtual clock.
//!
//! A cluster's [`Answerer`] or [`GrpcAnswerer`] is asked at once what will come of a call
//! and when. The call then waits with the VM that made it, and dies with that VM.

mod answer;
mod call;
mod grpc;
mod streams;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use answer::{Answerer, HttpAnswer, HttpResponse};
pub use call::{Callout, CalloutOutcome, HttpRequest};
pub use grpc::{
    GrpcAnswerer, GrpcCallout, GrpcEvent, GrpcHeard, GrpcOutcome, GrpcRequest, GrpcSaid,
};
pub(crate) use streams::{GrpcKind, GrpcStreams, GrpcTold};

use crate::chance::Chance;
use crate::clock::Timestamp;
use crate::shared::lock;
use crate::status::Status;

/// The headers without which Envoy makes no call.
const REQUIRED: [&str; 3] = [":authority", ":method", ":path"];

/// The shortest time an answer takes, so that a filter that asks again at every
/// answer cannot hold the virtual clock still.
const SHORTEST: Duration = Duration::from_nanos(1);

/// A cluster that calls can name.
#[derive(Default)]
pub(crate) struct Cluster {
    /// Who answers HTTP calls; they are refused if nobody does.
    pub(crate) http: Option<Box<dyn Answerer>>,
    /// Who answers gRPC calls; they are refused if nobody does.
    pub(crate) grpc: Option<Box<dyn GrpcAnswerer>>,
    /// It has no hosts at all.
    pub(crate) empty: bool,
}

/// Every cluster, and every call made; shared by all workers.
pub(crate) struct Callouts {
    clusters: Mutex<BTreeMap<String, Cluster>>,
    made: Mutex<Vec<Callout>>,
    grpc_made: Mutex<Vec<GrpcCallout>>,
    chance: Arc<Chance>,
}

/// A call on its way.
pub(crate) struct PendingCall {
    /// The number the filter knows it by.
    pub(crate) token: u32,
    /// When its callback is due.
    pub(crate) due: Timestamp,
    /// What the callback will show; `None` stands for no response at all.
    pub(crate) response: Option<HttpResponse>,
    outcome: CalloutOutcome,
    /// Its place among the calls made.
    place: usize,
}

impl Callouts {
    pub(crate) fn new(clusters: BTreeMap<String, Cluster>, chance: Arc<Chance>) -> Self {
        Self {
            clusters: Mutex::new(clusters),
            made: Mutex::default(),
            grpc_made: Mutex::default(),
            chance,
        }
    }

    /// Makes a call.
    ///
    /// # Errors
    /// `BadArgument` for an unknown cluster or a missing pseudo-header, before
    /// anything else; `InternalFailure` for a cluster without hosts. Neither has
    /// a callback.
    pub(crate) fn dispatch(
        &self,
        worker: usize,
        token: u32,
        cluster: &str,
        request: HttpRequest,
    ) -> Result<PendingCall, Status> {
        let mut clusters = lock(&self.clusters);
        let known = clusters
            .get_mut(cluster)
            .filter(|_| REQUIRED.iter().all(|name| request.header(name).is_some()));
        let (outcome, result) = match known {
            None => (CalloutOutcome::Rejected, Err(Status::BadArgument)),
            Some(Cluster { empty: true, .. }) => {
                (CalloutOutcome::NoHosts, Err(Status::InternalFailure))
            }
            Some(Cluster { http, .. }) => {
                let answer = http.as_mut().map(|http| http.answer(&request));
                (
                    CalloutOutcome::Pending,
                    Ok(answer.unwrap_or(HttpAnswer::Refused)),
                )
            }
        };
        let mut made = lock(&self.made);
        let place = made.len();
        let (now, timeout) = (request.at, request.timeout);
        made.push(Callout {
            cluster: cluster.to_owned(),
            worker,
            request,
            outcome,
        });
        let (after, response, outcome) = result?.come_to(timeout);
        Ok(PendingCall {
            token,
            due: now.after(after.max(SHORTEST)).after(self.chance.way()),
            response,
            outcome,
            place,
        })
    }

    /// The callback of this call is being made.
    pub(crate) fn answered(&self, call: &PendingCall) {
        self.note(call.place, call.outcome);
    }

    /// The VM that made this call is dead: nobody will hear of an answer.
    pub(crate) fn dropped(&self, call: &PendingCall) {
        self.note(call.place, CalloutOutcome::Dropped);
    }

    /// Every call so far, in the order they were made.
    pub(crate) fn made(&self) -> Vec<Callout> {
        lock(&self.made).clone()
    }

    fn note(&self, place: usize, outcome: CalloutOutcome) {
        if let Some(callout) = lock(&self.made).get_mut(place) {
            callout.outcome = outcome;
        }
    }

    /// Whether a cluster has hosts; `None` if there is no such cluster.
    pub(crate) fn has_hosts(&self, cluster: &str) -> Option<bool> {
        let clusters = lock(&self.clusters);
        clusters.get(cluster).map(|cluster| !cluster.empty)
    }

    /// What the server of a gRPC call says to this.
    fn grpc_answer(&self, cluster: &str, request: &GrpcRequest, heard: GrpcHeard<'_>) -> GrpcSaid {
        let mut clusters = lock(&self.clusters);
        let grpc = clusters
            .get_mut(cluster)
            .and_then(|cluster| cluster.grpc.as_mut());
        match (grpc, heard) {
            (Some(grpc), heard) => grpc.hear(request, heard),
            (None, GrpcHeard::Opened) => GrpcSaid::nothing().and(GrpcEvent::Refused),
            (None, GrpcHeard::Message(_) | GrpcHeard::Ended) => GrpcSaid::nothing(),
        }
    }

    /// Every gRPC call so far, in the order they were made.
    pub(crate) fn grpc_made(&self) -> Vec<GrpcCallout> {
        lock(&self.grpc_made).clone()
    }

    /// Notes a gRPC call, and gives its place.
    fn note_grpc(&self, cluster: &str, worker: usize, request: &GrpcRequest) -> usize {
        let mut made = lock(&self.grpc_made);
        made.push(GrpcCallout {
            cluster: cluster.to_owned(),
            worker,
            request: request.clone(),
            sent: Vec::new(),
            outcome: GrpcOutcome::Open,
        });
        made.len() - 1
    }

    fn note_sent(&self, place: usize, message: &[u8]) {
        if let Some(callout) = lock(&self.grpc_made).get_mut(place) {
            callout.sent.push(message.to_vec());
        }
    }

    fn note_grpc_outcome(&self, place: usize, outcome: GrpcOutcome) {
        if let Some(callout) = lock(&self.grpc_made).get_mut(place) {
            callout.outcome = outcome;
        }
    }
}
