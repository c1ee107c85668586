//! The gRPC calls of one VM: which there are, and what is on its way to the filter.

use std::collections::BTreeMap;
use std::time::Duration;

use super::grpc::{GrpcEvent, GrpcHeard, GrpcRequest, GrpcSaid};
use super::{Callouts, SHORTEST};
use crate::chance::Way;
use crate::clock::Timestamp;
use crate::status::Status;

/// The lower two bits of a token tell what it is for.
const KIND_BITS: u32 = 0b11;
const NEXT: u32 = KIND_BITS + 1;
const INTERNAL: u32 = 13;
const UNAVAILABLE: u32 = 14;

/// Whether a token is of a call or of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrpcKind {
    /// One message each way.
    Call = 1,
    /// Any number.
    Stream = 2,
}

impl GrpcKind {
    fn of(token: u32) -> Result<Self, Status> {
        match token & KIND_BITS {
            1 => Ok(Self::Call),
            2 => Ok(Self::Stream),
            _ => Err(Status::BadArgument),
        }
    }
}

/// What the filter is told next of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GrpcTold {
    InitialMetadata(Vec<(String, String)>),
    Receive(Vec<u8>),
    TrailingMetadata(Vec<(String, String)>),
    Close(u32, String),
}

/// A call or stream.
struct Open {
    kind: GrpcKind,
    cluster: String,
    request: GrpcRequest,
    way: Way,
    /// Whether the server's headers have been said.
    begun: bool,
    /// A call's only message, kept until its status is known.
    kept: Option<Vec<u8>>,
    local_closed: bool,
    remote_closed: bool,
    place: usize,
}

/// Something on its way to the filter.
struct Pending {
    due: Timestamp,
    token: u32,
    told: GrpcTold,
}

/// All gRPC calls of a VM.
#[derive(Default)]
pub(crate) struct GrpcStreams {
    open: BTreeMap<u32, Open>,
    pending: Vec<Pending>,
    calls: u32,
    streams: u32,
}

impl GrpcStreams {
    /// Begins a call or stream, and gives its token.
    pub(crate) fn begin(
        &mut self,
        callouts: &Callouts,
        kind: GrpcKind,
        (worker, cluster): (usize, &str),
        request: GrpcRequest,
    ) -> u32 {
        let counter = self.counter(kind);
        *counter = counter.wrapping_add(1);
        let token = counter.wrapping_mul(NEXT) | kind as u32;
        let place = callouts.note_grpc(cluster, worker, &request);
        let (now, timeout) = (request.at, request.timeout);
        let open = Open {
            kind,
            cluster: cluster.to_owned(),
            request,
            way: Way::default(),
            begun: false,
            kept: None,
            local_closed: false,
            remote_closed: false,
            place,
        };
        self.open.insert(token, open);
        self.hear(callouts, now, token, GrpcHeard::Opened);
        if let Some(timeout) = timeout {
            self.time_out(now.after(timeout), token);
        }
        token
    }

    /// A call or stream that fails while it begins: it has no token that the filter knows,
    /// and yet the filter is told, of a number that it does not know.
    pub(crate) fn fail(
        &mut self,
        callouts: &Callouts,
        kind: GrpcKind,
        (worker, cluster): (usize, &str),
        request: GrpcRequest,
        why: &str,
    ) {
        let counter = self.counter(kind);
        *counter = counter.wrapping_add(1);
        let token = counter.wrapping_mul(NEXT) | kind as u32;
        let place = callouts.note_grpc(cluster, worker, &request);
        callouts.note_grpc_outcome(place, super::GrpcOutcome::Rejected);
        let told = GrpcTold::Close(UNAVAILABLE, why.to_owned());
        let due = request.at.after(SHORTEST);
        self.pending.push(Pending { due, token, told });
    }

    fn counter(&mut self, kind: GrpcKind) -> &mut u32 {
        match kind {
            GrpcKind::Call => &mut self.calls,
            GrpcKind::Stream => &mut self.streams,
        }
    }

    /// A message of the filter's.
    ///
    /// # Errors
    /// `BadArgument` for what is no stream, `NotFound` for one that is not there.
    pub(crate) fn send(
        &mut self,
        callouts: &Callouts,
        now: Timestamp,
        token: u32,
        message: &[u8],
        last: bool,
    ) -> Result<(), Status> {
        if GrpcKind::of(token)? != GrpcKind::Stream {
            return Err(Status::BadArgument);
        }
        self.message(callouts, now, token, message)?;
        if last {
            self.hear(callouts, now, token, GrpcHeard::Ended);
        }
        Ok(())
    }

    /// A call's only message.
    pub(crate) fn ask(&mut self, callouts: &Callouts, now: Timestamp, token: u32, message: &[u8]) {
        if self.message(callouts, now, token, message).is_ok() {
            self.hear(callouts, now, token, GrpcHeard::Ended);
        }
    }

    fn message(
        &mut self,
        callouts: &Callouts,
        now: Timestamp,
        token: u32,
        message: &[u8],
    ) -> Result<(), Status> {
        let open = self.open.get(&token).ok_or(Status::NotFound)?;
        callouts.note_sent(open.place, message);
        self.hear(callouts, now, token, GrpcHeard::Message(message));
        Ok(())
    }

    /// The filter ends its side of a stream, or gives a call up.
    ///
    /// # Errors
    /// `BadArgument` for what is neither, `NotFound` for one that is not there.
    pub(crate) fn close(
        &mut self,
        callouts: &Callouts,
        now: Timestamp,
        token: u32,
    ) -> Result<(), Status> {
        if GrpcKind::of(token)? == GrpcKind::Call {
            return self.cancel(callouts, token);
        }
        let open = self.open.get_mut(&token).ok_or(Status::NotFound)?;
        open.local_closed = true;
        if open.remote_closed {
            self.open.remove(&token);
        } else {
            self.hear(callouts, now, token, GrpcHeard::Ended);
        }
        Ok(())
    }

    /// The filter gives a call or stream up, and hears no more of it.
    ///
    /// # Errors
    /// As [`close`](Self::close).
    pub(crate) fn cancel(&mut self, callouts: &Callouts, token: u32) -> Result<(), Status> {
        GrpcKind::of(token)?;
        let open = self.open.remove(&token).ok_or(Status::NotFound)?;
        callouts.note_grpc_outcome(open.place, super::GrpcOutcome::Cancelled);
        self.pending.retain(|pending| pending.token != token);
        Ok(())
    }

    /// When the filter is told next.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.pending.iter().map(|pending| pending.due).min()
    }

    /// What the filter is to be told now, if its time has come.
    pub(crate) fn next(&mut self, callouts: &Callouts, now: Timestamp) -> Option<(u32, GrpcTold)> {
        let due = self.next_due().filter(|due| *due <= now)?;
        let place = self.pending.iter().position(|pending| pending.due == due)?;
        let Pending { token, told, .. } = self.pending.remove(place);
        self.take_note(callouts, token, &told);
        Some((token, told))
    }

    /// What a call comes to as it is told: of one that is over, nothing follows.
    fn take_note(&mut self, callouts: &Callouts, token: u32, told: &GrpcTold) {
        let Some(open) = self.open.get_mut(&token) else {
            return;
        };
        let outcome = match (open.kind, told) {
            (GrpcKind::Call, GrpcTold::Receive(_)) => super::GrpcOutcome::Answered,
            (_, GrpcTold::Close(status, _)) => super::GrpcOutcome::Closed(*status),
            _ => return,
        };
        callouts.note_grpc_outcome(open.place, outcome);
        open.remote_closed = true;
        if open.kind == GrpcKind::Call || open.local_closed {
            self.open.remove(&token);
        }
        self.pending.retain(|pending| pending.token != token);
    }

    /// The VM is dead: nobody hears of these.
    pub(crate) fn drop_all(&mut self, callouts: &Callouts) {
        self.pending.clear();
        for open in std::mem::take(&mut self.open).into_values() {
            if !open.remote_closed {
                callouts.note_grpc_outcome(open.place, super::GrpcOutcome::Dropped);
            }
        }
    }

    fn hear(&mut self, callouts: &Callouts, now: Timestamp, token: u32, heard: GrpcHeard<'_>) {
        let Some(open) = self.open.get_mut(&token) else {
            return;
        };
        let said = callouts.grpc_answer(&open.cluster, &open.request, heard);
        let GrpcSaid { events, after } = said;
        for event in events {
            self.say(callouts, (now, after), token, event);
        }
    }

    fn say(
        &mut self,
        callouts: &Callouts,
        (now, after): (Timestamp, Duration),
        token: u32,
        event: GrpcEvent,
    ) {
        let Some(open) = self.open.get_mut(&token) else {
            return;
        };
        let wait = after.max(SHORTEST);
        let due = callouts.chance.arrival_after(now, wait, &mut open.way);
        let tolds = open.tolds(event);
        self.pending
            .extend(tolds.into_iter().map(|told| Pending { due, token, told }));
    }

    /// Envoy's own answer to a call that takes too long.
    fn time_out(&mut self, due: Timestamp, token: u32) {
        let message = detailed("upstream request timeout", "response_timeout");
        let told = GrpcTold::Close(UNAVAILABLE, message);
        self.pending.push(Pending { due, token, told });
    }
}

impl Open {
    /// What the filter is told of something said.
    fn tolds(&mut self, event: GrpcEvent) -> Vec<GrpcTold> {
        let tolds = match event {
            GrpcEvent::InitialMetadata(metadata) => {
                self.begun = true;
                vec![GrpcTold::InitialMetadata(headers(metadata))]
            }
            GrpcEvent::Message(bytes) => {
                let implied = (!self.begun).then(|| GrpcTold::InitialMetadata(headers(Vec::new())));
                self.begun = true;
                implied
                    .into_iter()
                    .chain([GrpcTold::Receive(bytes)])
                    .collect()
            }
            GrpcEvent::Close {
                status,
                message,
                metadata,
            } => self.closed(status, &message, metadata, "via_upstream"),
            GrpcEvent::Reset => self.broken(("remote reset", "remote_reset")),
            GrpcEvent::Broken => self.broken(("connection termination", "connection_termination")),
            GrpcEvent::Refused => self.broken((
                "remote connection failure",
                "remote_connection_failure|delayed_connect_error:_Connection_refused",
            )),
        };
        match self.kind {
            GrpcKind::Stream => tolds,
            GrpcKind::Call => tolds
                .into_iter()
                .filter_map(|told| self.of_call(told))
                .collect(),
        }
    }

    /// An end with a status: in trailers or, where nothing was said before, in headers
    /// that are trailers at once. Envoy tells its own details behind the message.
    fn closed(
        &self,
        status: u32,
        message: &str,
        metadata: Vec<(String, String)>,
        details: &str,
    ) -> Vec<GrpcTold> {
        let mut trailers = vec![pair("grpc-status", &status.to_string())];
        if !message.is_empty() {
            trailers.push(pair("grpc-message", message));
        }
        trailers.extend(metadata);
        let mut tolds = Vec::new();
        if !self.begun {
            trailers = headers(trailers);
            tolds.push(GrpcTold::InitialMetadata(Vec::new()));
        }
        tolds.push(GrpcTold::TrailingMetadata(trailers));
        tolds.push(GrpcTold::Close(status, detailed(message, details)));
        tolds
    }

    /// Envoy's own end: with a status as if of a server that said nothing else, or
    /// without one in the middle of what was said.
    fn broken(&self, (reason, detail): (&str, &str)) -> Vec<GrpcTold> {
        if self.begun {
            let details = format!("upstream_reset_after_response_started{{{detail}}}");
            return vec![
                GrpcTold::TrailingMetadata(Vec::new()),
                GrpcTold::Close(INTERNAL, details),
            ];
        }
        let message = format!(
            "upstream connect error or disconnect/reset before headers. reset reason: {reason}"
        );
        let details = format!("upstream_reset_before_response_started{{{detail}}}");
        self.closed(UNAVAILABLE, &message, Vec::new(), &details)
    }

    /// Of a call, Envoy tells the message once the status is known to be good, and the
    /// status only if it is not.
    fn of_call(&mut self, told: GrpcTold) -> Option<GrpcTold> {
        match told {
            GrpcTold::InitialMetadata(_) | GrpcTold::TrailingMetadata(_) => None,
            GrpcTold::Receive(bytes) => {
                self.kept = Some(bytes);
                None
            }
            GrpcTold::Close(0, _) => Some(match self.kept.take() {
                Some(bytes) => GrpcTold::Receive(bytes),
                None => GrpcTold::Close(INTERNAL, String::new()),
            }),
            GrpcTold::Close(status, message) => Some(GrpcTold::Close(status, message)),
        }
    }
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn headers(more: Vec<(String, String)>) -> Vec<(String, String)> {
    let own = [
        pair(":status", "200"),
        pair("content-type", "application/grpc"),
    ];
    own.into_iter().chain(more).collect()
}

fn detailed(message: &str, details: &str) -> String {
    match message {
        "" => details.to_owned(),
        message => format!("{message}{{{details}}}"),
    }
}
