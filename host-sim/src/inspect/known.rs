//! The names that Envoy 1.40 knows, as proxy-wasm-cpp-host registers them.

use super::Provision;

/// How the export begins that names the ABI's version.
pub(super) const ABI_PREFIX: &str = "proxy_abi_version_";
/// The versions that Envoy knows.
pub(super) const ABI_VERSIONS: [&str; 3] = ["0_1_0", "0_2_0", "0_2_1"];
/// By which the host allocates in the guest.
pub(super) const ALLOCATORS: [&str; 2] = ["proxy_on_memory_allocate", "malloc"];

/// Hostcalls of versions 0.2.0 and 0.2.1 that a network filter can use.
const HOSTCALLS: [&str; 34] = [
    "call_foreign_function",
    "close_stream",
    "continue_stream",
    "define_metric",
    "dequeue_shared_queue",
    "done",
    "enqueue_shared_queue",
    "get_buffer_bytes",
    "get_buffer_status",
    "get_current_time_nanoseconds",
    "get_header_map_pairs",
    "get_header_map_size",
    "get_header_map_value",
    "get_log_level",
    "get_metric",
    "get_property",
    "get_shared_data",
    "get_status",
    "grpc_call",
    "grpc_cancel",
    "grpc_close",
    "grpc_send",
    "grpc_stream",
    "http_call",
    "increment_metric",
    "log",
    "record_metric",
    "register_shared_queue",
    "resolve_shared_queue",
    "set_buffer_bytes",
    "set_effective_context",
    "set_property",
    "set_shared_data",
    "set_tick_period_milliseconds",
];
/// Hostcalls that only do something for an HTTP filter.
const HTTP_ONLY: [&str; 5] = [
    "add_header_map_value",
    "remove_header_map_value",
    "replace_header_map_value",
    "send_local_response",
    "set_header_map_pairs",
];
const WASI: [&str; 15] = [
    "args_get",
    "args_sizes_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_close",
    "fd_fdstat_get",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_read",
    "fd_seek",
    "fd_write",
    "path_open",
    "proc_exit",
    "random_get",
];
const WASI_MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// What Envoy has for an import; `function` tells whether it is one.
pub(super) fn provision(module: &str, name: &str, function: bool) -> Provision {
    let hostcall = name.strip_prefix("proxy_").filter(|_| module == "env");
    match hostcall {
        _ if !function => Provision::Missing,
        Some(name) if HTTP_ONLY.contains(&name) => Provision::HttpOnly,
        Some(name) if HOSTCALLS.contains(&name) => Provision::Hostcall,
        None if WASI_MODULES.contains(&module) && WASI.contains(&name) => Provision::Wasi,
        Some(_) | None => Provision::Missing,
    }
}

/// Whether an export is a callback of proxy-wasm.
pub(super) fn is_callback(name: &str) -> bool {
    name.starts_with("proxy_on_")
        || ["_initialize", "_start", "main", "malloc"].contains(&name)
        || name == "proxy_validate_configuration"
}

/// Whether Envoy knows this version, written with dots.
pub(super) fn abi(version: &str) -> bool {
    ABI_VERSIONS.contains(&version.replace('.', "_").as_str())
}

/// The export that names a version.
pub(super) fn abi_export(version: &str) -> String {
    format!("{ABI_PREFIX}{version}")
}

/// A section by its number in the binary format.
pub(super) fn section(id: u8) -> &'static str {
    match id {
        0 => "custom",
        1 => "type",
        2 => "import",
        3 => "function",
        4 => "table",
        5 => "memory",
        6 => "global",
        7 => "export",
        8 => "start",
        9 => "element",
        10 => "code",
        11 => "data",
        12 => "data count",
        13 => "tag",
        _ => "unknown",
    }
}
