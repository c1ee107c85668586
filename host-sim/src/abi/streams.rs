//! Continuing and closing streams, and choosing the context a call is meant for.

use wasmtime::Linker;

use super::{Answer, Host, Status, answer};
use crate::host::{AfterCall, HostState};

const DOWNSTREAM: u32 = 2;
const UPSTREAM: u32 = 3;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_continue_stream",
        |mut host: Host<'_>, kind: u32| answer(resume(&mut host, kind)),
    )?;
    linker.func_wrap(
        "env",
        "proxy_close_stream",
        |mut host: Host<'_>, kind: u32| answer(close(&mut host, kind)),
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_effective_context",
        |mut host: Host<'_>, id: u32| answer(set_effective(&mut host, id)),
    )?;
    // Envoy answers Ok and does nothing for a network filter.
    linker.func_wrap(
        "env",
        "proxy_send_local_response",
        |_: Host<'_>, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32| -> u32 {
            Status::Ok as u32
        },
    )?;
    // Only meaningful after a root's on_done returned false, which this host
    // does not wait for.
    linker.func_wrap("env", "proxy_done", |_: Host<'_>| -> u32 {
        Status::NotFound as u32
    })?;
    Ok(())
}

fn resume(host: &mut Host<'_>, kind: u32) -> Answer {
    match kind {
        DOWNSTREAM => {
            host.data_mut().after_call(AfterCall::ContinueDownstream);
            Ok(())
        }
        UPSTREAM => Err(Status::Unimplemented.into()),
        0 | 1 => Ok(()),
        _ => Err(Status::BadArgument.into()),
    }
}

fn close(host: &mut Host<'_>, kind: u32) -> Answer {
    match kind {
        // Both close the one downstream connection; no call closes only the server's.
        DOWNSTREAM | UPSTREAM => {
            host.data_mut().after_call(AfterCall::Close);
            Ok(())
        }
        0 | 1 => Ok(()),
        _ => Err(Status::BadArgument.into()),
    }
}

fn set_effective(host: &mut Host<'_>, id: u32) -> Answer {
    let state = host.data_mut();
    // 0 is the VM's own context in Envoy, and stands for none there too.
    state.effective = match id {
        0 => 0,
        id => state.context(id).ok_or(Status::BadArgument)?,
    };
    Ok(())
}
