//! HTTP and gRPC callouts. This host has no clusters, so every call is
//! answered as Envoy answers one to a cluster it does not know.

use wasmtime::Linker;

use super::{Answer, Host, Status, answer, guest};
use crate::host::HostState;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_http_call",
        |_: Host<'_>,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32|
         -> u32 { Status::BadArgument as u32 },
    )?;
    link_grpc_open(linker)?;
    linker.func_wrap(
        "env",
        "proxy_grpc_send",
        |_: Host<'_>, _: u32, _: u32, _: u32, _: u32| -> u32 { Status::NotFound as u32 },
    )?;
    for name in ["proxy_grpc_cancel", "proxy_grpc_close"] {
        linker.func_wrap("env", name, |_: Host<'_>, _: u32| -> u32 {
            Status::NotFound as u32
        })?;
    }
    linker.func_wrap(
        "env",
        "proxy_get_status",
        |mut host: Host<'_>, code_at: u32, ptr_at: u32, size_at: u32| {
            answer(no_call_yet(&mut host, code_at, ptr_at, size_at))
        },
    )?;
    Ok(())
}

fn link_grpc_open(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_grpc_call",
        |_: Host<'_>,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32|
         -> u32 { Status::ParseFailure as u32 },
    )?;
    linker.func_wrap(
        "env",
        "proxy_grpc_stream",
        |_: Host<'_>,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32|
         -> u32 { Status::ParseFailure as u32 },
    )?;
    Ok(())
}

fn no_call_yet(host: &mut Host<'_>, code_at: u32, ptr_at: u32, size_at: u32) -> Answer {
    guest::write_u32(host, code_at, 0)?;
    guest::hand_over(host, b"", ptr_at, size_at)
}
