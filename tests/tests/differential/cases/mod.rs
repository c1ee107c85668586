//! The cases, by subject.

mod buffers;
mod callouts;
mod closes;
mod ends;
mod foreign;
mod grpc;
mod metrics;
mod pauses;
mod properties;
mod queues;
mod root;
mod traps;

use crate::case::Case;

/// All cases.
pub(crate) fn all() -> Vec<Case> {
    let subjects = [
        ends::cases,
        pauses::cases,
        closes::cases,
        buffers::cases,
        root::cases,
        queues::cases,
        metrics::cases,
        properties::cases,
        foreign::cases,
        callouts::cases,
        grpc::cases,
        traps::cases,
    ];
    subjects.iter().flat_map(|cases| cases()).collect()
}
