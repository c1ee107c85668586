//! What a filter can do: the hostcalls of the ABI, with what is to be told of each.

/// Where hostcalls leave their results, and where numbers are kept between callbacks.
/// Those below 32 are forgotten before each call.
pub(crate) mod at {
    /// Not 0, which stands for a result that nobody wants.
    pub(crate) const POINTER: u32 = 24;
    pub(crate) const SIZE: u32 = 28;
    pub(crate) const NUMBER: u32 = 8;
    pub(crate) const WIDE: u32 = 16;
    pub(crate) const CAS: u32 = 40;
    pub(crate) const QUEUE: u32 = 44;
    pub(crate) const METRIC: u32 = 48;
    pub(crate) const CALL: u32 = 52;
}

/// Of buffers and of streams.
pub(crate) const DOWNSTREAM: i32 = 2;
pub(crate) const UPSTREAM: i32 = 3;
/// Of buffers.
pub(crate) const CALL_BODY: i32 = 4;
pub(crate) const GRPC_MESSAGE: i32 = 5;
pub(crate) const VM_CONFIGURATION: i32 = 6;
pub(crate) const PLUGIN_CONFIGURATION: i32 = 7;
pub(crate) const CALL_DATA: i32 = 8;
/// Of header maps.
pub(crate) const GRPC_INITIAL_METADATA: i32 = 4;
pub(crate) const GRPC_TRAILING_METADATA: i32 = 5;
pub(crate) const CALL_HEADERS: i32 = 6;
pub(crate) const CALL_TRAILERS: i32 = 7;
/// More than any buffer holds, and yet no overflow.
pub(crate) const ALL: i32 = i32::MAX;
/// Metrics.
pub(crate) const COUNTER: i32 = 0;
pub(crate) const GAUGE: i32 = 1;
pub(crate) const HISTOGRAM: i32 = 2;

/// Something the filter does in a callback.
#[derive(Clone)]
pub(crate) enum Do {
    /// Calls the host, and tells the status and these results.
    Call {
        name: &'static str,
        arguments: Vec<Argument>,
        tells: Vec<Tell>,
    },
    /// Returns this instead of what lets things go on.
    Return(i32),
    /// Dies.
    Trap,
}

#[derive(Clone)]
pub(crate) enum Argument {
    Number(i32),
    Wide(i64),
    /// A pointer and a size.
    Text(Vec<u8>),
    /// The number kept at this address.
    Kept(u32),
}

/// A result that is told behind the status.
#[derive(Clone, Copy)]
pub(crate) enum Tell {
    /// The bytes handed over.
    Bytes,
    /// The number at this address.
    Number(u32),
    /// The number of 64 bits at this address.
    Wide(u32),
    /// How many pairs the bytes handed over hold.
    Pairs,
}

use Argument::{Kept, Number, Text, Wide};

/// The arguments that take bytes handed over.
fn handed_over() -> [Argument; 2] {
    [at(at::POINTER), at(at::SIZE)]
}

fn at(address: u32) -> Argument {
    Number(address.cast_signed())
}

fn text(text: impl AsRef<[u8]>) -> Argument {
    Text(text.as_ref().to_vec())
}

fn call(name: &'static str, arguments: impl IntoIterator<Item = Argument>) -> Do {
    let arguments = arguments.into_iter().collect();
    let tells = Vec::new();
    Do::Call {
        name,
        arguments,
        tells,
    }
}

impl Do {
    fn tell(mut self, tell: Tell) -> Self {
        if let Self::Call { tells, .. } = &mut self {
            tells.push(tell);
        }
        self
    }

    fn handing_over(mut self) -> Self {
        if let Self::Call { arguments, .. } = &mut self {
            arguments.extend(handed_over());
        }
        self
    }
}

pub(crate) fn pause() -> Do {
    Do::Return(1)
}

pub(crate) fn get_buffer(kind: i32, start: i32, size: i32) -> Do {
    let arguments = [Number(kind), Number(start), Number(size)];
    call("get_buffer_bytes", arguments)
        .handing_over()
        .tell(Tell::Bytes)
}

pub(crate) fn set_buffer(kind: i32, start: i32, size: i32, bytes: &str) -> Do {
    let arguments = [Number(kind), Number(start), Number(size), text(bytes)];
    call("set_buffer_bytes", arguments)
}

pub(crate) fn buffer_status(kind: i32) -> Do {
    let arguments = [Number(kind), at(at::NUMBER), at(at::SIZE)];
    call("get_buffer_status", arguments).tell(Tell::Number(at::NUMBER))
}

pub(crate) fn resume(stream: i32) -> Do {
    call("continue_stream", [Number(stream)])
}

pub(crate) fn close(stream: i32) -> Do {
    call("close_stream", [Number(stream)])
}

pub(crate) fn act_as(context: i32) -> Do {
    call("set_effective_context", [Number(context)])
}

pub(crate) fn done() -> Do {
    call("done", [])
}

pub(crate) fn get_property(path: &str) -> Do {
    let path = path.replace('/', "\0");
    call("get_property", [text(path)])
        .handing_over()
        .tell(Tell::Bytes)
}

/// The same, of whose result only the status is told.
pub(crate) fn has_property(path: &str) -> Do {
    call("get_property", [text(path.replace('/', "\0"))]).handing_over()
}

pub(crate) fn set_property(path: &str, value: &str) -> Do {
    let path = path.replace('/', "\0");
    call("set_property", [text(path), text(value)])
}

pub(crate) fn get_shared(key: &str) -> Do {
    let call = call("get_shared_data", [text(key)]).handing_over();
    with_arguments(call, [at(at::CAS)]).tell(Tell::Bytes)
}

/// With this number, or 0 for none.
pub(crate) fn set_shared(key: &str, value: &str, cas: i32) -> Do {
    call("set_shared_data", [text(key), text(value), Number(cas)])
}

/// With the number that was got last.
pub(crate) fn swap_shared(key: &str, value: &str) -> Do {
    call("set_shared_data", [text(key), text(value), Kept(at::CAS)])
}

pub(crate) fn register_queue(name: &str) -> Do {
    call("register_shared_queue", [text(name), at(at::QUEUE)])
}

pub(crate) fn resolve_queue(vm: &str, name: &str) -> Do {
    call(
        "resolve_shared_queue",
        [text(vm), text(name), at(at::QUEUE)],
    )
}

pub(crate) fn enqueue(item: &str) -> Do {
    call("enqueue_shared_queue", [Kept(at::QUEUE), text(item)])
}

pub(crate) fn dequeue() -> Do {
    call("dequeue_shared_queue", [Kept(at::QUEUE)])
        .handing_over()
        .tell(Tell::Bytes)
}

/// Into a queue that nobody registered.
pub(crate) fn enqueue_nowhere(item: &str) -> Do {
    call("enqueue_shared_queue", [Number(99_999), text(item)])
}

pub(crate) fn dequeue_nowhere() -> Do {
    call("dequeue_shared_queue", [Number(99_999)])
        .handing_over()
        .tell(Tell::Bytes)
}

pub(crate) fn define_metric(kind: i32, name: &str) -> Do {
    let arguments = [Number(kind), text(name), at(at::METRIC)];
    call("define_metric", arguments).tell(Tell::Number(at::METRIC))
}

pub(crate) fn increment_metric(by: i64) -> Do {
    call("increment_metric", [Kept(at::METRIC), Wide(by)])
}

pub(crate) fn record_metric(value: i64) -> Do {
    call("record_metric", [Kept(at::METRIC), Wide(value)])
}

pub(crate) fn get_metric() -> Do {
    get_metric_of(Kept(at::METRIC))
}

pub(crate) fn get_metric_of(metric: Argument) -> Do {
    call("get_metric", [metric, at(at::WIDE)]).tell(Tell::Wide(at::WIDE))
}

pub(crate) fn increment_metric_of(metric: i32, by: i64) -> Do {
    call("increment_metric", [Number(metric), Wide(by)])
}

pub(crate) fn record_metric_of(metric: i32, value: i64) -> Do {
    call("record_metric", [Number(metric), Wide(value)])
}

pub(crate) fn set_tick(milliseconds: i32) -> Do {
    call("set_tick_period_milliseconds", [Number(milliseconds)])
}

/// The time itself differs from run to run, so only the status is told.
pub(crate) fn get_time() -> Do {
    call("get_current_time_nanoseconds", [at(at::WIDE)])
}

pub(crate) fn get_log_level() -> Do {
    call("get_log_level", [at(at::NUMBER)]).tell(Tell::Number(at::NUMBER))
}

pub(crate) fn log(level: i32, line: &str) -> Do {
    call("log", [Number(level), text(line)])
}

pub(crate) fn send_local_response() -> Do {
    let (none, body) = (text(""), text("no"));
    let headers = text("");
    call(
        "send_local_response",
        [Number(403), none, body, headers, Number(-1)],
    )
}

/// With this cluster, `:path` and time limit in milliseconds, and all that a call must have.
pub(crate) fn http_call(cluster: &str, path: &str, limit: i32) -> Do {
    let headers = [(":method", "GET"), (":path", path), (":authority", "a")];
    http_call_with(cluster, &headers, "", &[], limit)
}

pub(crate) fn http_call_with(
    cluster: &str,
    headers: &[(&str, &str)],
    body: &str,
    trailers: &[(&str, &str)],
    limit: i32,
) -> Do {
    let (headers, trailers) = (text(pairs(headers)), text(pairs(trailers)));
    let arguments = [
        text(cluster),
        headers,
        text(body),
        trailers,
        Number(limit),
        at(at::CALL),
    ];
    call("http_call", arguments).tell(Tell::Number(at::CALL))
}

/// To the service `s`, with one message.
pub(crate) fn grpc_call(cluster: &[u8], method: &str, message: &str, limit: i32) -> Do {
    let (service, metadata) = (text("s"), text(pairs(&[("m", "1")])));
    let (method, message) = (text(method), text(message));
    let arguments = [
        text(cluster),
        service,
        method,
        metadata,
        message,
        Number(limit),
        at(at::CALL),
    ];
    call("grpc_call", arguments).tell(Tell::Number(at::CALL))
}

/// To the service `s`.
pub(crate) fn grpc_stream(cluster: &[u8], method: &str) -> Do {
    let (service, metadata) = (text("s"), text(pairs(&[("m", "1")])));
    let arguments = [text(cluster), service, text(method), metadata, at(at::CALL)];
    call("grpc_stream", arguments).tell(Tell::Number(at::CALL))
}

pub(crate) fn grpc_send(message: &str, last: bool) -> Do {
    call(
        "grpc_send",
        [Kept(at::CALL), text(message), Number(i32::from(last))],
    )
}

pub(crate) fn grpc_close() -> Do {
    call("grpc_close", [Kept(at::CALL)])
}

pub(crate) fn grpc_cancel() -> Do {
    call("grpc_cancel", [Kept(at::CALL)])
}

/// `name` is one of `grpc_close` and `grpc_cancel`.
pub(crate) fn grpc_end_of(name: &'static str, token: i32) -> Do {
    call(name, [Number(token)])
}

pub(crate) fn grpc_send_to(token: i32, message: &str) -> Do {
    call("grpc_send", [Number(token), text(message), Number(0)])
}

pub(crate) fn get_status() -> Do {
    let call = call("get_status", [at(at::NUMBER)]).handing_over();
    call.tell(Tell::Number(at::NUMBER)).tell(Tell::Bytes)
}

pub(crate) fn get_header(map: i32, name: &str) -> Do {
    call("get_header_map_value", [Number(map), text(name)])
        .handing_over()
        .tell(Tell::Bytes)
}

pub(crate) fn count_headers(map: i32) -> Do {
    call("get_header_map_pairs", [Number(map)])
        .handing_over()
        .tell(Tell::Pairs)
}

pub(crate) fn add_header(map: i32, name: &str, value: &str) -> Do {
    call(
        "add_header_map_value",
        [Number(map), text(name), text(value)],
    )
}

pub(crate) fn replace_header(map: i32, name: &str, value: &str) -> Do {
    call(
        "replace_header_map_value",
        [Number(map), text(name), text(value)],
    )
}

pub(crate) fn remove_header(map: i32, name: &str) -> Do {
    call("remove_header_map_value", [Number(map), text(name)])
}

pub(crate) fn set_headers(map: i32, headers: &[(&str, &str)]) -> Do {
    call("set_header_map_pairs", [Number(map), text(pairs(headers))])
}

pub(crate) fn header_size(map: i32) -> Do {
    let arguments = [Number(map), at(at::NUMBER)];
    call("get_header_map_size", arguments).tell(Tell::Number(at::NUMBER))
}

pub(crate) fn foreign(name: &str, arguments: &[u8]) -> Do {
    let call = call("call_foreign_function", [text(name), text(arguments)]);
    call.handing_over().tell(Tell::Bytes)
}

/// The same, of whose result only the status is told.
pub(crate) fn foreign_status(name: &str, arguments: &[u8]) -> Do {
    call("call_foreign_function", [text(name), text(arguments)]).handing_over()
}

fn with_arguments(mut call: Do, more: impl IntoIterator<Item = Argument>) -> Do {
    if let Do::Call { arguments, .. } = &mut call {
        arguments.extend(more);
    }
    call
}

/// Pairs as the ABI lays them out.
fn pairs(pairs: &[(&str, &str)]) -> Vec<u8> {
    if pairs.is_empty() {
        return Vec::new();
    }
    let number = |number: usize| u32::try_from(number).unwrap_or(0).to_le_bytes();
    let mut bytes = number(pairs.len()).to_vec();
    for (name, value) in pairs {
        bytes.extend(number(name.len()));
        bytes.extend(number(value.len()));
    }
    for (name, value) in pairs {
        bytes.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    bytes
}
