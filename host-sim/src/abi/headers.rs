//! Header maps. A network filter has those of a call's response and the metadata of gRPC
//! calls, to be read during their callbacks; of all others Envoy says `BadArgument`.

use wasmtime::Linker;

use super::{Answer, Host, Status, answer, guest, pairs};
use crate::callouts::GrpcTold;
use crate::host::HostState;

const NO_MAP: u32 = Status::BadArgument as u32;

const GRPC_INITIAL_METADATA: u32 = 4;
const GRPC_TRAILING_METADATA: u32 = 5;
const CALL_RESPONSE_HEADERS: u32 = 6;
const CALL_RESPONSE_TRAILERS: u32 = 7;
const LAST: u32 = 7;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_header_map_pairs",
        |mut host: Host<'_>, kind: u32, ptr_at: u32, size_at: u32| {
            answer(get_pairs(&mut host, kind, ptr_at, size_at))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_value",
        |mut host: Host<'_>, kind: u32, name: u32, name_len: u32, ptr_at: u32, size_at: u32| {
            answer(get_value(
                &mut host,
                kind,
                (name, name_len),
                (ptr_at, size_at),
            ))
        },
    )?;
    link_changes(linker)
}

/// A response cannot be changed, nor its size be asked for: Envoy looks for the
/// maps of these calls among those of an HTTP filter's own stream only.
fn link_changes(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_set_header_map_pairs",
        |_: Host<'_>, _: u32, _: u32, _: u32| -> u32 { NO_MAP },
    )?;
    linker.func_wrap(
        "env",
        "proxy_remove_header_map_value",
        |_: Host<'_>, _: u32, _: u32, _: u32| -> u32 { NO_MAP },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_size",
        |_: Host<'_>, _: u32, _: u32| -> u32 { NO_MAP },
    )?;
    for name in [
        "proxy_replace_header_map_value",
        "proxy_add_header_map_value",
    ] {
        linker.func_wrap(
            "env",
            name,
            |_: Host<'_>, _: u32, _: u32, _: u32, _: u32, _: u32| -> u32 { NO_MAP },
        )?;
    }
    Ok(())
}

/// The map of this type, if there is one now. It is the root context's, so it can
/// be read whichever context is effective. A response without trailers has no
/// map of them.
///
/// # Errors
/// `BadArgument` for a type the ABI does not know.
fn find<'a>(host: &'a Host<'_>, kind: u32) -> Answer<Option<&'a [(String, String)]>> {
    let response = host.data().response.as_ref();
    match kind {
        CALL_RESPONSE_HEADERS => Ok(response.map(|response| response.headers.as_slice())),
        CALL_RESPONSE_TRAILERS => Ok(response
            .map(|response| response.trailers.as_slice())
            .filter(|trailers| !trailers.is_empty())),
        GRPC_INITIAL_METADATA => Ok(match &host.data().grpc_told {
            Some(GrpcTold::InitialMetadata(pairs)) => Some(pairs),
            _ => None,
        }),
        GRPC_TRAILING_METADATA => Ok(match &host.data().grpc_told {
            Some(GrpcTold::TrailingMetadata(pairs)) => Some(pairs),
            _ => None,
        }),
        0..=LAST => Ok(None),
        _ => Err(Status::BadArgument.into()),
    }
}

/// All pairs. A map that is not there reads as empty, exactly as in Envoy.
fn get_pairs(host: &mut Host<'_>, kind: u32, ptr_at: u32, size_at: u32) -> Answer {
    let bytes = pairs::encode(find(host, kind)?.unwrap_or_default());
    guest::hand_over(host, &bytes, ptr_at, size_at)
}

/// The first value of a name.
fn get_value(host: &mut Host<'_>, kind: u32, name: (u32, u32), out: (u32, u32)) -> Answer {
    let name = guest::read_text(host, name.0, name.1)?.to_ascii_lowercase();
    let map = find(host, kind)?.ok_or(Status::BadArgument)?;
    let mut found = map.iter().filter(|(given, _)| *given == name);
    let (_, value) = found.next().ok_or(Status::NotFound)?;
    let value = value.clone().into_bytes();
    guest::hand_over(host, &value, out.0, out.1)
}
