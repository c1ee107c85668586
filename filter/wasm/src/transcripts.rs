//! Sessions that are written down: they are told the time, what workers share of their client, and
//! at their end, who was there.

use crate::host;
use crate::ledger;
use crate::worker::{Errand, Worker};
use portcullis_core::client::Client;
use portcullis_core::ledger::{Entry, Slot};
use portcullis_core::metrics::Family;
use portcullis_core::policy::TranscriptMode;
use portcullis_core::session::{Frame, Session, Shortened};
use std::net::{Ipv4Addr, SocketAddr};

/// Envoy's expressions put no texts together, and a session without a transcript is to have no such
/// member: so the property is a whole one, to stand behind another.
const MEMBER: &str = ",\"transcript\":";

/// Begins one, if the policy chooses the session.
pub(crate) fn begin(
    worker: &Worker,
    session: &mut Session,
    context_id: u32,
    from: Option<SocketAddr>,
) {
    if worker.policy.config().transcripts.sessions == TranscriptMode::Off {
        return;
    }
    let frame = Frame {
        client: from.unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)),
        worker: worker.queue,
        began: host::wall_clock(),
    };
    // No two sessions of a worker have the same.
    let lot = u64::from(frame.began.subsec_nanos()) << 32 | u64::from(context_id);
    session.transcribe(&worker.shelf, &frame, lot);
}

/// Tells the time to a session that wants to know.
pub(crate) fn tell_time(session: &mut Session) {
    if session.is_transcribed() {
        session.tell_time(host::wall_clock());
    }
}

/// All workers knew this of the client when it came.
pub(crate) fn tell_known(worker: &Worker, session: &mut Session, client: Client, entry: Entry) {
    if session.is_transcribed()
        && let Some(key) = ledger::slot_key(worker, client)
    {
        session.was_known(&key, &Slot::of(client, entry).encode());
    }
}

/// The client was listed while its greeting was held: to it that is as if it had come now.
pub(crate) fn tell_held(worker: &Worker, session: &mut Session, client: Option<Client>) {
    if session.is_transcribed()
        && let Some(client) = client
    {
        let entry = ledger::recall(worker, client);
        tell_time(session);
        tell_known(worker, session, client, entry);
    }
}

/// The client is listed, and the session is about to end for it.
pub(crate) fn tell_listed(worker: &Worker, session: &mut Session, client: Option<Client>) {
    if session.is_transcribed()
        && let Some(client) = client
        && let Some(key) = ledger::slot_key(worker, client)
    {
        let entry = ledger::recall(worker, client);
        tell_time(session);
        let message = Errand::Listed(client).encode();
        session.is_told(&key, &Slot::of(client, entry).encode(), &message);
    }
}

/// Writes it down for the access log, if the policy chooses the session.
pub(crate) fn end(worker: &Worker, session: &mut Session) {
    let Some(transcribed) = session.take_transcript() else {
        return;
    };
    let how = match (&transcribed.json, transcribed.shortened) {
        (None, _) | (_, Some(Shortened::Dropped)) => "dropped",
        (_, Some(Shortened::Session | Shortened::Worker)) => "shortened",
        (Some(_), None) => "whole",
    };
    worker.metrics.count_word(Family::Transcripts, how);
    let Some(mut member) = transcribed.json else {
        return;
    };
    member.insert_str(0, MEMBER);
    if let Err(refused) = host::set_property("portcullis_transcript", member.as_bytes()) {
        log::warn!("no transcript for the access log: {refused}");
    }
}
