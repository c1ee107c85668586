//! The hostcalls the filter makes, each returning its status.
//!
//! The SDK's own wrappers panic where Envoy answers with a status they do not expect (a released
//! buffer, a stream that is gone, a read-only property). Those calls are declared here once more.
#![allow(unsafe_code)]

use portcullis_core::session::{Carrier, Voice};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, Bytes, MapType, MetricType, Status, StreamType};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};
use thiserror::Error;

/// A hostcall that was refused, with the host's status (proxy-wasm ABI 0.2.1 `proxy_status_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{call}: the host answered status {status}")]
pub(crate) struct Refused {
    call: &'static str,
    status: u32,
}

const OK: u32 = 0;
/// Attempts to change a shared value. Each failure is another worker's success.
const MAX_CAS_TRIES: u32 = 1000;
/// The number of a value that does not exist yet. Envoy checks no number where it makes a new
/// value, and takes 0 for "do not check" where there is one: of two workers that make the same
/// value at once, the second must fail. No value has this number before four billion changes.
const NEW_VALUE: u32 = u32::MAX;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_buffer_bytes(
        buffer: BufferType,
        start: usize,
        max_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_enqueue_shared_queue(queue: u32, data: *const u8, size: usize) -> u32;
    fn proxy_define_metric(
        kind: MetricType,
        name: *const u8,
        name_size: usize,
        id: *mut u32,
    ) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_set_buffer_bytes(
        buffer: BufferType,
        start: usize,
        length: usize,
        data: *const u8,
        size: usize,
    ) -> u32;
    fn proxy_continue_stream(stream: StreamType) -> u32;
    fn proxy_close_stream(stream: StreamType) -> u32;
    fn proxy_set_effective_context(context_id: u32) -> u32;
    fn proxy_set_property(
        path: *const u8,
        path_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        argument: *const u8,
        argument_size: usize,
        result: *mut *mut u8,
        result_size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_value(
        map: MapType,
        name: *const u8,
        name_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
    ) -> u32;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
    ) -> u32;
}

fn check(call: &'static str, status: u32) -> Result<(), Refused> {
    match status {
        OK => Ok(()),
        status => Err(Refused { call, status }),
    }
}

/// All bytes in one of the connection's buffers; empty where there are none, or no buffer.
pub(crate) fn buffer(of: BufferType) -> Bytes {
    buffer_of(of, usize::MAX)
}

/// The same, of a buffer that the host has said to hold at most `most` bytes: most ends of a
/// connection bring none.
pub(crate) fn buffer_of(of: BufferType, most: usize) -> Bytes {
    if most == 0 {
        return Bytes::new();
    }
    let mut data = std::ptr::null_mut();
    let mut size = 0;
    // SAFETY: the host writes both out-parameters.
    let status = unsafe { proxy_get_buffer_bytes(of, 0, most, &mut data, &mut size) };
    match status {
        // SAFETY: the host filled the parameters with memory it had us allocate.
        OK => unsafe { handed_over(data, size) },
        _ => Bytes::new(),
    }
}

/// Takes memory that the host had the SDK's `proxy_on_memory_allocate` make, and filled.
///
/// # Safety
/// `data` is null, or a Vec's of exactly `size` octets that nobody else owns.
unsafe fn handed_over(data: *mut u8, size: usize) -> Bytes {
    if data.is_null() {
        return Bytes::new();
    }
    // SAFETY: by the contract above.
    unsafe { Vec::from_raw_parts(data, size, size) }
}

/// Puts a message into a shared queue.
pub(crate) fn enqueue(queue: u32, message: &[u8]) -> Result<(), Refused> {
    // SAFETY: pointer and size are those of a live slice, which the host only reads.
    let status = unsafe { proxy_enqueue_shared_queue(queue, message.as_ptr(), message.len()) };
    check("proxy_enqueue_shared_queue", status)
}

/// Defines a metric; its id.
pub(crate) fn define_metric(kind: MetricType, name: &str) -> Result<u32, Refused> {
    let mut id = 0;
    // SAFETY: the name is a live slice; the host writes the out-parameter.
    let status = unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &mut id) };
    check("proxy_define_metric", status).map(|()| id)
}

/// Adds to a counter or a gauge.
pub(crate) fn add_to_metric(id: u32, by: i64) -> Result<(), Refused> {
    // SAFETY: takes no memory.
    let status = unsafe { proxy_increment_metric(id, by) };
    check("proxy_increment_metric", status)
}

/// Sets a gauge, or adds a sample to a histogram.
pub(crate) fn record_metric(id: u32, value: u64) -> Result<(), Refused> {
    // SAFETY: takes no memory.
    let status = unsafe { proxy_record_metric(id, value) };
    check("proxy_record_metric", status)
}

/// Replaces everything in a buffer.
pub(crate) fn replace_buffer(of: BufferType, bytes: &[u8]) -> Result<(), Refused> {
    // SAFETY: pointer and size are those of a live slice, which the host only reads.
    let status = unsafe { proxy_set_buffer_bytes(of, 0, usize::MAX, bytes.as_ptr(), bytes.len()) };
    check("proxy_set_buffer_bytes", status)
}

/// Puts bytes ahead of everything in a buffer.
pub(crate) fn prepend_buffer(to: BufferType, bytes: &[u8]) -> Result<(), Refused> {
    // SAFETY: as above; length 0 replaces nothing.
    let status = unsafe { proxy_set_buffer_bytes(to, 0, 0, bytes.as_ptr(), bytes.len()) };
    check("proxy_set_buffer_bytes", status)
}

/// Lets everything in the client's buffer go on to the server, once this callback is over.
pub(crate) fn continue_to_server() -> Result<(), Refused> {
    // SAFETY: takes no memory.
    let status = unsafe { proxy_continue_stream(StreamType::Downstream) };
    check("proxy_continue_stream", status)
}

/// Runs `call` for the connection `context_id`, then returns to the context `root`.
pub(crate) fn as_context<T>(
    context_id: u32,
    root: u32,
    call: impl FnOnce() -> Result<T, Refused>,
) -> Result<T, Refused> {
    const CALL: &str = "proxy_set_effective_context";
    // SAFETY: takes no memory.
    // If the connection is gone the context before stays in force: nothing may be done then.
    check(CALL, unsafe { proxy_set_effective_context(context_id) })?;
    let done = call();
    // SAFETY: takes no memory.
    check(CALL, unsafe { proxy_set_effective_context(root) })?;
    done
}

/// Closes the connection once what was written to the client has left.
pub(crate) fn close() -> Result<(), Refused> {
    // SAFETY: takes no memory.
    let status = unsafe { proxy_close_stream(StreamType::Downstream) };
    check("proxy_close_stream", status)
}

/// Sets a property of the connection, which Envoy keeps as filter state `wasm.NAME`.
pub(crate) fn set_property(name: &str, value: &[u8]) -> Result<(), Refused> {
    // SAFETY: both pointers and sizes are those of live slices, which the host only reads.
    let status =
        unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
    check("proxy_set_property", status)
}

/// A property of the connection, its path's parts parted by NUL.
fn property(path: &str) -> Option<Bytes> {
    let mut value = std::ptr::null_mut();
    let mut size = 0;
    // SAFETY: the path is a live slice; the host writes both out-parameters.
    let status = unsafe { proxy_get_property(path.as_ptr(), path.len(), &mut value, &mut size) };
    // SAFETY: the host filled the parameters with memory it had us allocate.
    (status == OK).then(|| unsafe { handed_over(value, size) })
}

/// What carries the connection. Before the handshake Envoy makes a TLS version up, but has none
/// without TLS; the other property is the word of the module that can start TLS.
pub(crate) fn carrier() -> Carrier {
    let tells = |path| property(path).filter(|value| !value.is_empty());
    match tells("filter_state\0portcullis.starttls").as_deref() {
        Some(b"answers-again") => Carrier::Switchable(Voice::HostAgain),
        Some(b"answers") => Carrier::Switchable(Voice::Host),
        Some(b"unavailable") => Carrier::Unavailable,
        Some(_) => Carrier::Switchable(Voice::Server),
        None if tells("connection\0tls_version").is_some() => Carrier::Tls,
        None => Carrier::Cleartext,
    }
}

/// Whether the client has shown a certificate, which Envoy lets through only if it is a good one.
pub(crate) fn is_verified() -> bool {
    property("connection\0mtls").is_some_and(|value| value.first() == Some(&1))
}

/// Where the connection comes from, by the PROXY protocol where Envoy is told to read it. `None` for
/// pipes and internal listeners.
pub(crate) fn source_address() -> Option<SocketAddr> {
    let bytes = property("source\0address")?;
    let text = std::str::from_utf8(&bytes).ok()?;
    let address = text.parse::<SocketAddr>();
    let without_port = || text.parse().map(|address: IpAddr| (address, 0).into());
    address.or_else(|_| without_port()).ok()
}

/// Sends the connection to another cluster than the one the TCP proxy names, as long as it has not
/// been let on.
pub(crate) fn route_to(cluster: &str) -> Result<(), Refused> {
    const NAME: &str = "set_envoy_filter_state";
    const KEY: &str = "envoy.tcp_proxy.cluster";
    // A protobuf message of two short strings: fields 1 (path) and 2 (value).
    let mut argument = Vec::new();
    for (tag, text) in [(0x0a, KEY), (0x12, cluster)] {
        argument.push(tag);
        prost::encoding::encode_varint(text.len() as u64, &mut argument);
        argument.extend_from_slice(text.as_bytes());
    }
    let mut result = std::ptr::null_mut();
    let mut size = 0;
    // SAFETY: name and argument are live slices; the host writes both out-parameters.
    let status = unsafe {
        proxy_call_foreign_function(
            NAME.as_ptr(),
            NAME.len(),
            argument.as_ptr(),
            argument.len(),
            &mut result,
            &mut size,
        )
    };
    check("proxy_call_foreign_function", status)?;
    // SAFETY: the host filled the parameters with memory it had us allocate, or left them.
    drop(unsafe { handed_over(result, size) });
    Ok(())
}

/// A header of the HTTP response at hand.
pub(crate) fn response_header(name: &str) -> Option<String> {
    let mut value = std::ptr::null_mut();
    let mut size = 0;
    // SAFETY: the name is a live slice; the host writes both out-parameters.
    let status = unsafe {
        proxy_get_header_map_value(
            MapType::HttpCallResponseHeaders,
            name.as_ptr(),
            name.len(),
            &mut value,
            &mut size,
        )
    };
    if status != OK {
        return None;
    }
    // SAFETY: the host filled the parameters with memory it had us allocate.
    String::from_utf8(unsafe { handed_over(value, size) }).ok()
}

/// Time since the Unix epoch.
pub(crate) fn wall_clock() -> Duration {
    let now = hostcalls::get_current_time().unwrap_or(SystemTime::UNIX_EPOCH);
    now.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// What all workers share under `key`; nothing if there is nothing yet.
pub(crate) fn shared(key: &str) -> Bytes {
    let stored = hostcalls::get_shared_data(key);
    stored.ok().and_then(|(bytes, _)| bytes).unwrap_or_default()
}

/// Changes what all workers share under `key`. Of two that do so at once the second has to do it
/// again; `None` if that happens too often.
pub(crate) fn update_shared<T>(
    key: &str,
    mut change: impl FnMut(&[u8]) -> (T, Vec<u8>),
) -> Option<T> {
    let mut outcome = None;
    let mut change = |before: &[u8]| {
        let (news, after) = change(before);
        outcome = Some(news);
        after
    };
    replace_shared(key, &mut change)?;
    outcome
}

/// The same, once in the filter for all that is changed so.
fn replace_shared(key: &str, change: &mut dyn FnMut(&[u8]) -> Vec<u8>) -> Option<()> {
    for _ in 0..MAX_CAS_TRIES {
        let (bytes, cas) = hostcalls::get_shared_data(key).ok()?;
        let before = bytes.unwrap_or_default();
        let after = change(&before);
        if after == before {
            return Some(());
        }
        match hostcalls::set_shared_data(key, Some(&after), cas.or(Some(NEW_VALUE))) {
            Ok(()) => return Some(()),
            Err(Status::CasMismatch) => {}
            Err(_) => return None,
        }
    }
    None
}

/// Asks for `on_tick` every `period`; zero ends it.
pub(crate) fn tick_every(period: Duration) {
    // The SDK's wrapper returns an error for no status.
    let _ = hostcalls::set_tick_period(period);
}
