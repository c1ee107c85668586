//! Envoy's foreign functions: `set_envoy_filter_state` only.

use wasmtime::Linker;

use super::{Answer, Host, Status, answer, guest};
use crate::host::HostState;

/// The filter state keys with a factory in Envoy that a network filter can use.
const KNOWN_KEYS: [&str; 4] = [
    "envoy.tcp_proxy.cluster",
    "envoy.tcp_proxy.per_connection_idle_timeout_ms",
    "envoy.hashable_string",
    "envoy.string",
];

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_call_foreign_function",
        |mut host: Host<'_>,
         name: u32,
         name_len: u32,
         arguments: u32,
         arguments_len: u32,
         _: u32,
         _: u32| {
            answer(call(
                &mut host,
                (name, name_len),
                (arguments, arguments_len),
            ))
        },
    )?;
    Ok(())
}

fn call(host: &mut Host<'_>, name: (u32, u32), arguments: (u32, u32)) -> Answer {
    let name = guest::read_text(host, name.0, name.1)?;
    let arguments = guest::read(host, arguments.0, arguments.1)?;
    if name != "set_envoy_filter_state" {
        return Err(Status::NotFound.into());
    }
    let (key, value) = key_and_value(&arguments).ok_or(Status::BadArgument)?;
    if !KNOWN_KEYS.contains(&key.as_str()) {
        return Err(Status::NotFound.into());
    }
    let connection = host
        .data_mut()
        .effective_connection_mut()
        .ok_or(Status::NotFound)?;
    connection.envoy_filter_state.insert(key, value);
    Ok(())
}

/// Fields 1 (path) and 2 (value) of `envoy.source.extensions.common.wasm.SetEnvoyFilterStateArguments`.
fn key_and_value(message: &[u8]) -> Option<(String, String)> {
    let (mut key, mut value) = (None, None);
    let mut rest = message;
    while let Some((tag, after)) = varint(rest) {
        let (number, after) = varint(after)?;
        rest = match (tag >> 3, tag & 7) {
            (field, 2) => {
                let (bytes, after) = after.split_at_checked(usize::try_from(number).ok()?)?;
                let text = String::from_utf8(bytes.to_vec()).ok()?;
                match field {
                    1 => key = Some(text),
                    2 => value = Some(text),
                    _ => {}
                }
                after
            }
            (_, 0) => after,
            _ => return None,
        };
    }
    rest.is_empty().then_some((key?, value.unwrap_or_default()))
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0)?;
    let (head, rest) = bytes.split_at_checked(end + 1)?;
    if head.len() > 9 {
        return None;
    }
    let value = head
        .iter()
        .rev()
        .fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_two_length_delimited_fields_and_an_optional_enum() {
        let pair = |key: &str, value: &str| Some((key.to_owned(), value.to_owned()));
        assert_eq!(key_and_value(b"\x0a\x01k\x12\x02vw"), pair("k", "vw"));
        assert_eq!(key_and_value(b"\x0a\x01k\x12\x01v\x18\x02"), pair("k", "v"));
        assert_eq!(key_and_value(b"\x0a\x01k"), pair("k", ""));
        assert_eq!(key_and_value(b"\x12\x01v"), None);
        assert_eq!(key_and_value(b"\x0a\x05k"), None);
        assert_eq!(key_and_value(b"\x0a\x01k\x0d"), None);
    }
}
