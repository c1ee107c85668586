//! `proxy_get_buffer_bytes`, `proxy_set_buffer_bytes`, `proxy_get_buffer_status`.

use wasmtime::Linker;

use super::{Answer, Host, Status, answer, guest};
use crate::callouts::GrpcTold;
use crate::host::HostState;

const HTTP_REQUEST_BODY: u32 = 0;
const HTTP_RESPONSE_BODY: u32 = 1;
const DOWNSTREAM_DATA: u32 = 2;
const UPSTREAM_DATA: u32 = 3;
const HTTP_CALL_RESPONSE_BODY: u32 = 4;
const GRPC_RECEIVE_BUFFER: u32 = 5;
const VM_CONFIGURATION: u32 = 6;
const PLUGIN_CONFIGURATION: u32 = 7;
const CALL_DATA: u32 = 8;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_buffer_bytes",
        |mut host: Host<'_>, kind: u32, start: u32, max: u32, ptr_at: u32, size_at: u32| {
            answer(get(&mut host, kind, Range { start, max }, ptr_at, size_at))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_buffer_bytes",
        |mut host: Host<'_>, kind: u32, start: u32, length: u32, ptr: u32, size: u32| {
            answer(
                guest::read(&host, ptr, size)
                    .and_then(|bytes| set(&mut host, kind, (start, length), &bytes)),
            )
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_buffer_status",
        |mut host: Host<'_>, kind: u32, length_at: u32, flags_at: u32| {
            answer(status(&mut host, kind, length_at, flags_at))
        },
    )?;
    Ok(())
}

struct Range {
    start: u32,
    max: u32,
}

/// The bytes behind a buffer type. Most that are not there at the moment read as empty,
/// exactly as in Envoy; a call's body and the plugin's configuration are `NotFound`
/// outside the callbacks they are for.
fn find<'a>(host: &'a Host<'_>, kind: u32) -> Answer<&'a [u8]> {
    let state = host.data();
    match kind {
        DOWNSTREAM_DATA => Ok(state
            .effective_connection()
            .filter(|connection| connection.downstream.held_by_guest)
            .map_or(&[][..], |connection| &connection.downstream.bytes)),
        UPSTREAM_DATA => Ok(state
            .effective_connection()
            .filter(|connection| connection.upstream.held_by_guest)
            .map_or(&[][..], |connection| &connection.upstream.bytes)),
        HTTP_CALL_RESPONSE_BODY => match &state.response {
            Some(response) => Ok(&response.body),
            None => Err(Status::NotFound.into()),
        },
        VM_CONFIGURATION => Ok(&state.plugin.vm_configuration),
        PLUGIN_CONFIGURATION if state.configuring => Ok(&state.plugin.configuration),
        PLUGIN_CONFIGURATION => Err(Status::NotFound.into()),
        GRPC_RECEIVE_BUFFER => match &state.grpc_told {
            Some(GrpcTold::Receive(bytes)) => Ok(bytes),
            _ => Ok(&[]),
        },
        HTTP_REQUEST_BODY | HTTP_RESPONSE_BODY | CALL_DATA => Ok(&[]),
        _ => Err(Status::BadArgument.into()),
    }
}

fn get(host: &mut Host<'_>, kind: u32, range: Range, ptr_at: u32, size_at: u32) -> Answer {
    let bytes = find(host, kind)?;
    // Envoy adds in 64 bits, so that nothing overflows.
    let start = range.start as usize;
    let end = start.saturating_add(range.max as usize).min(bytes.len());
    let part = bytes.get(start..end).unwrap_or_default().to_vec();
    if part.is_empty() {
        return Ok(());
    }
    guest::hand_over(host, &part, ptr_at, size_at)
}

fn set(host: &mut Host<'_>, kind: u32, (start, length): (u32, u32), data: &[u8]) -> Answer {
    if kind == GRPC_RECEIVE_BUFFER {
        let told = host.data_mut().grpc_told.as_mut();
        return match told {
            Some(GrpcTold::Receive(bytes)) => {
                splice(bytes, start as usize, length as usize, data).map_err(Into::into)
            }
            _ => Err(Status::BadArgument.into()),
        };
    }
    let held = match kind {
        DOWNSTREAM_DATA => host
            .data_mut()
            .effective_connection_mut()
            .map(|connection| &mut connection.downstream),
        UPSTREAM_DATA => host
            .data_mut()
            .effective_connection_mut()
            .map(|connection| &mut connection.upstream),
        // Nothing else can be changed, and what is not there is not found first.
        _ => return find(host, kind).and(Err(Status::BadArgument.into())),
    };
    let held = held
        .filter(|stream| stream.held_by_guest)
        .ok_or(Status::BadArgument)?;
    splice(&mut held.bytes, start as usize, length as usize, data).map_err(Into::into)
}

/// Envoy's `Buffer::copyFrom`: at 0 the first `length` bytes make way for `data`,
/// at or beyond the end `data` is appended, anything between is refused.
///
/// # Errors
/// `BadArgument` for a start inside the buffer.
fn splice(bytes: &mut Vec<u8>, start: usize, length: usize, data: &[u8]) -> Result<(), Status> {
    if start == 0 {
        let length = length.min(bytes.len());
        bytes.splice(..length, data.iter().copied());
        Ok(())
    } else if start >= bytes.len() {
        bytes.extend_from_slice(data);
        Ok(())
    } else {
        Err(Status::BadArgument)
    }
}

fn status(host: &mut Host<'_>, kind: u32, length_at: u32, flags_at: u32) -> Answer {
    let length = u32::try_from(find(host, kind)?.len()).map_err(|_| Status::BadArgument)?;
    guest::write_u32(host, length_at, length)?;
    guest::write_u32(host, flags_at, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (usize, usize, &'static [u8], Result<&'static [u8], Status>);

    #[test]
    fn splice_drains_prepends_appends_and_refuses_the_middle() {
        let table: &[Row] = &[
            (0, 0, b"ab", Ok(b"ab12345")),
            (0, 2, b"ab", Ok(b"ab345")),
            (0, 5, b"", Ok(b"")),
            (0, 99, b"x", Ok(b"x")),
            (5, 0, b"67", Ok(b"1234567")),
            (9, 3, b"67", Ok(b"1234567")),
            (2, 1, b"x", Err(Status::BadArgument)),
        ];
        for (start, length, data, expected) in table {
            let mut bytes = b"12345".to_vec();
            let result = splice(&mut bytes, *start, *length, data);
            assert_eq!(
                result.map(|()| bytes.as_slice()),
                *expected,
                "start {start}, length {length}"
            );
        }
    }
}
