//! The proxy-wasm 0.2.1 hostcalls a network filter can make, one file per subject.
//!
//! Each answers with the status Envoy 1.40 answers with; calls that only make
//! sense for HTTP filters get the status Envoy gives a network filter for them. What each
//! does is told in `ABI.md`, and held by the cases in `tests/tests/differential`.

mod buffers;
mod callouts;
mod foreign;
mod grpc;
mod guest;
mod headers;
mod log;
mod metrics;
mod pairs;
mod properties;
mod shared;
mod streams;
mod time;

use wasmtime::{Caller, Linker};

use crate::host::HostState;
use crate::module::AbiVersion;
pub(crate) use crate::status::Status;

/// A hostcall in progress: the guest's memory and the host's state.
pub(crate) type Host<'a> = Caller<'a, HostState>;

/// Why a hostcall did not simply succeed.
pub(crate) enum Fault {
    /// The guest is told a status.
    Status(Status),
    /// The guest itself failed while the host called back into it.
    Trap(wasmtime::Error),
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// What the inside of a hostcall returns.
pub(crate) type Answer<T = ()> = Result<T, Fault>;

/// Turns the inside's result into what the guest receives.
fn answer(result: Answer) -> wasmtime::Result<u32> {
    match result {
        Ok(()) => Ok(Status::Ok as u32),
        Err(Fault::Status(status)) => Ok(status as u32),
        Err(Fault::Trap(trap)) => Err(trap),
    }
}

/// Defines every hostcall of module `env`.
pub(crate) fn link(linker: &mut Linker<HostState>, abi: AbiVersion) -> wasmtime::Result<()> {
    buffers::link(linker)?;
    callouts::link(linker)?;
    foreign::link(linker)?;
    grpc::link(linker)?;
    headers::link(linker)?;
    log::link(linker, abi)?;
    metrics::link(linker)?;
    properties::link(linker)?;
    shared::link(linker)?;
    streams::link(linker)?;
    time::link(linker)
}
