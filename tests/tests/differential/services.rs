//! What filters can call: clusters, the same for both hosts.

use std::time::Duration;

use portcullis_host_sim::{GrpcEvent, GrpcHeard, GrpcSaid, HttpAnswer};

/// Envoy's name.
pub(crate) const NODE: &str = "node";
/// The name of those who do what Envoy does.
pub(crate) const NODE_CLUSTER: &str = "probes";

/// The cluster that answers HTTP calls as [`http`] says.
pub(crate) const HTTP: &str = "http";
/// A cluster on whose port nobody listens.
pub(crate) const REFUSED: &str = "refused";
/// A cluster that hangs up on whoever says something.
pub(crate) const BREAKING: &str = "breaking";
/// A cluster without hosts. Not `empty`: these five bytes are a message of protobuf's without a
/// service, at which Envoy ends itself when a gRPC call names it.
pub(crate) const EMPTY: &str = "no-hosts";

/// What the cluster [`HTTP`] answers to this path and body.
pub(crate) fn http(path: &str, body: &[u8]) -> HttpAnswer {
    match path {
        "/ok" => HttpAnswer::respond(200, &[("x-a", "1"), ("x-a", "2")], "hello"),
        "/empty" => HttpAnswer::respond(204, &[], ""),
        "/trailers" => HttpAnswer::respond(200, &[], "body").trailers(&[("t", "1"), ("u", "")]),
        "/echo" => HttpAnswer::respond(200, &[], body),
        "/error" => HttpAnswer::respond(500, &[], "broken"),
        "/big" => HttpAnswer::respond(200, &[], vec![b'x'; 300_000]),
        "/slow" => HttpAnswer::respond(200, &[], "late").after(Duration::from_secs(20)),
        "/truncated" => HttpAnswer::respond(200, &[], "cut sh").truncated(),
        "/reset" => HttpAnswer::ResetStream,
        "/never" => HttpAnswer::Never,
        _ => HttpAnswer::respond(404, &[], ""),
    }
}

/// What the cluster [`HTTP`] says in the gRPC method of this name.
pub(crate) fn grpc(method: &str, heard: GrpcHeard<'_>) -> GrpcSaid {
    match (method, heard) {
        ("Echo", GrpcHeard::Message(message)) => GrpcSaid::message(message),
        ("Echo", GrpcHeard::Ended) => GrpcSaid::close(0, ""),
        ("Fails", GrpcHeard::Opened) => GrpcSaid::close(5, "no such thing"),
        ("FailsLate", GrpcHeard::Message(message)) => {
            GrpcSaid::message(message).and_close(7, "not you")
        }
        ("Silent", GrpcHeard::Message(_)) => GrpcSaid::nothing()
            .and(GrpcEvent::InitialMetadata(Vec::new()))
            .and_close(0, ""),
        ("Metadata", GrpcHeard::Message(_)) => GrpcSaid::nothing()
            .and(GrpcEvent::InitialMetadata(pairs(&[("i", "1"), ("i", "2")])))
            .and(GrpcEvent::Message(b"m".to_vec()))
            .and(GrpcEvent::Close {
                status: 0,
                message: String::new(),
                metadata: pairs(&[("t", "3")]),
            }),
        ("Several", GrpcHeard::Message(_)) => GrpcSaid::message("one")
            .and(GrpcEvent::Message(Vec::new()))
            .and(GrpcEvent::Message(b"three".to_vec())),
        ("Resets", GrpcHeard::Message(_)) => GrpcSaid::nothing().and(GrpcEvent::Reset),
        ("ResetsLate", GrpcHeard::Message(_)) => GrpcSaid::message("m").and(GrpcEvent::Reset),
        _ => GrpcSaid::nothing(),
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}
