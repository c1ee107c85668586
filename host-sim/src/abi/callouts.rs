//! HTTP calls, and what became of the last call of either kind.

use std::time::Duration;

use wasmtime::Linker;

use super::{Answer, Host, Status, answer, guest, pairs};
use crate::callouts::HttpRequest;
use crate::host::HostState;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    link_http(linker)?;
    linker.func_wrap(
        "env",
        "proxy_get_status",
        |mut host: Host<'_>, code_at: u32, ptr_at: u32, size_at: u32| {
            answer(last_status(&mut host, code_at, ptr_at, size_at))
        },
    )?;
    Ok(())
}

/// Where a call's parts are in the guest's memory.
struct Parts {
    cluster: (u32, u32),
    headers: (u32, u32),
    body: (u32, u32),
    trailers: (u32, u32),
}

fn link_http(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_http_call",
        |mut host: Host<'_>,
         cluster: u32,
         cluster_len: u32,
         headers: u32,
         headers_len: u32,
         body: u32,
         body_len: u32,
         trailers: u32,
         trailers_len: u32,
         timeout: u32,
         token_at: u32| {
            let parts = Parts {
                cluster: (cluster, cluster_len),
                headers: (headers, headers_len),
                body: (body, body_len),
                trailers: (trailers, trailers_len),
            };
            answer(http_call(&mut host, &parts, timeout, token_at))
        },
    )?;
    Ok(())
}

/// Makes a call for the root context, whichever context is effective.
fn http_call(host: &mut Host<'_>, parts: &Parts, timeout: u32, token_at: u32) -> Answer {
    let cluster = guest::read_text(host, parts.cluster.0, parts.cluster.1)?;
    let headers = guest::read(host, parts.headers.0, parts.headers.1)?;
    let trailers = guest::read(host, parts.trailers.0, parts.trailers.1)?;
    // Envoy takes a negative number of milliseconds for an error.
    let timeout = u64::try_from(timeout.cast_signed()).map_err(|_| Status::BadArgument)?;
    let request = HttpRequest {
        // Envoy reads pairs it cannot decode as none, and then misses `:path`.
        headers: pairs::decode(&headers).unwrap_or_default(),
        body: guest::read(host, parts.body.0, parts.body.1)?,
        trailers: pairs::decode(&trailers).unwrap_or_default(),
        timeout: (timeout != 0).then(|| Duration::from_millis(timeout)),
        at: host.data().now,
    };
    // No call is made whose token cannot be told.
    guest::write_u32(host, token_at, 0)?;
    let token = host.data_mut().call(&cluster, request)?;
    guest::write_u32(host, token_at, token)
}

/// What became of the last call without a response; later responses do not change the
/// code, as in Envoy. The text is there during the callback only.
fn last_status(host: &mut Host<'_>, code_at: u32, ptr_at: u32, size_at: u32) -> Answer {
    let (code, message) = host.data().call_status.clone();
    guest::write_u32(host, code_at, code)?;
    guest::hand_over(host, message.as_bytes(), ptr_at, size_at)
}
