//! Which filter state a filter can set: the keys with a factory in Envoy 1.40.

use std::net::SocketAddr;

use super::Status;

/// What Envoy makes of a value.
enum Takes {
    Anything,
    Number,
    Address,
}

/// # Errors
/// `NotFound` for a key without a factory, `BadArgument` for a value that the factory
/// does not take.
pub(super) fn check(key: &str, value: &[u8]) -> Result<(), Status> {
    let text = std::str::from_utf8(value).ok();
    let taken = match takes(key).ok_or(Status::NotFound)? {
        Takes::Anything => true,
        Takes::Number => text.is_some_and(|text| text.parse::<u64>().is_ok()),
        Takes::Address => text.is_some_and(|text| text.parse::<SocketAddr>().is_ok()),
    };
    if taken {
        Ok(())
    } else {
        Err(Status::BadArgument)
    }
}

fn takes(key: &str) -> Option<Takes> {
    match key {
        "envoy.string"
        | "envoy.hashable_string"
        | "envoy.tcp_proxy.cluster"
        | "envoy.tcp_proxy.disable_tunneling"
        | "envoy.network.upstream_server_name"
        | "envoy.network.upstream_subject_alt_names"
        | "envoy.network.application_protocols"
        | "envoy.upstream.dynamic_host" => Some(Takes::Anything),
        "envoy.tcp_proxy.per_connection_idle_timeout_ms"
        | "envoy.upstream.dynamic_port"
        | "envoy.ratelimit.hits_addend" => Some(Takes::Number),
        "envoy.network.transport_socket.original_dst_address"
        | "envoy.filters.listener.original_dst.local_ip"
        | "envoy.filters.listener.original_dst.remote_ip" => Some(Takes::Address),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_before_values() {
        assert_eq!(check("my.own", b"\xff"), Err(Status::NotFound));
        assert_eq!(check("envoy.string", b"\xff"), Ok(()));
        assert_eq!(check("envoy.upstream.dynamic_port", b"25"), Ok(()));
        let soon = check("envoy.tcp_proxy.per_connection_idle_timeout_ms", b"soon");
        assert_eq!(soon, Err(Status::BadArgument));
    }
}
