//! A case's filter, as WebAssembly: it tells each callback and each hostcall in its log.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};

use crate::case::{Abi, Case, On};
use crate::hostcalls::{Argument, Do, Tell, at};

const ALL: [On; 18] = [
    On::ContextCreate,
    On::VmStart,
    On::Configure,
    On::NewConnection,
    On::DownstreamData,
    On::UpstreamData,
    On::DownstreamClose,
    On::UpstreamClose,
    On::Done,
    On::Log,
    On::Delete,
    On::Tick,
    On::QueueReady,
    On::HttpCallResponse,
    On::GrpcInitialMetadata,
    On::GrpcReceive,
    On::GrpcTrailingMetadata,
    On::GrpcClose,
];

/// Where texts begin.
const TEXTS: usize = 0x400;
/// Where the line that is being written begins.
const LINE: usize = 0x8000;

/// The exported function's name, how many parameters are told, how many are not, and what it
/// returns if it returns anything.
fn shape(on: On) -> (&'static str, usize, usize, Option<i32>) {
    match on {
        On::ContextCreate => ("context_create", 2, 0, None),
        On::VmStart => ("vm_start", 2, 0, Some(1)),
        On::Configure => ("configure", 2, 0, Some(1)),
        On::NewConnection => ("new_connection", 1, 0, Some(0)),
        On::DownstreamData => ("downstream_data", 3, 0, Some(0)),
        On::UpstreamData => ("upstream_data", 3, 0, Some(0)),
        On::DownstreamClose => ("downstream_connection_close", 2, 0, None),
        On::UpstreamClose => ("upstream_connection_close", 2, 0, None),
        On::Done => ("done", 1, 0, Some(1)),
        On::Log => ("log", 1, 0, None),
        On::Delete => ("delete", 1, 0, None),
        On::Tick => ("tick", 1, 0, None),
        // The queue's number depends on what else runs in the process.
        On::QueueReady => ("queue_ready", 1, 1, None),
        On::HttpCallResponse => ("http_call_response", 5, 0, None),
        On::GrpcInitialMetadata => ("grpc_receive_initial_metadata", 3, 0, None),
        On::GrpcReceive => ("grpc_receive", 3, 0, None),
        On::GrpcTrailingMetadata => ("grpc_receive_trailing_metadata", 3, 0, None),
        On::GrpcClose => ("grpc_close", 3, 0, None),
    }
}

/// Compiles the filter of a case.
pub(crate) fn module(case: &Case) -> Result<Vec<u8>> {
    let mut text = Text::default();
    let callbacks: Vec<String> = ALL
        .iter()
        .map(|on| callback(case, *on, &mut text))
        .collect();
    let abi = match case.abi {
        Abi::V0_2_0 => "proxy_abi_version_0_2_0",
        Abi::V0_2_1 => "proxy_abi_version_0_2_1",
    };
    let module = format!(
        "(module\n{}\n{}\n(func (export \"{abi}\"))\n{}\n{})",
        text.imports(),
        include_str!("probe.wat"),
        text.data,
        callbacks.concat(),
    );
    wat::parse_str(&module).with_context(|| format!("{}:\n{module}", case.name))
}

/// The parts of a module that its callbacks ask for.
#[derive(Default)]
struct Text {
    imports: BTreeMap<String, String>,
    data: String,
    used: usize,
}

impl Text {
    fn imports(&self) -> String {
        let mut imports = self.imports.clone();
        imports.insert("proxy_log".into(), "i32 i32 i32".into());
        let line = |(name, parameters): (&String, &String)| {
            format!(
                "(import \"env\" \"{name}\" (func ${name} (param {parameters}) (result i32)))\n"
            )
        };
        imports.iter().map(line).collect()
    }

    /// Puts bytes into memory; `pointer size` as constants.
    fn put(&mut self, bytes: &[u8]) -> String {
        let pointer = TEXTS + self.used;
        self.used += bytes.len();
        assert!(TEXTS + self.used <= LINE, "too much text in one case");
        let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        // Writing into a string cannot fail.
        let _ = writeln!(self.data, "(data (i32.const {pointer}) \"{escaped}\")");
        format!("(i32.const {pointer}) (i32.const {})", bytes.len())
    }
}

fn callback(case: &Case, on: On, text: &mut Text) -> String {
    let (name, told, untold, returns) = shape(on);
    let parameters = "i32 ".repeat(told + untold);
    let (result, last) = match returns {
        Some(value) => (
            "(result i32)",
            format!("(local.set $result (i32.const {value}))"),
        ),
        None => ("", String::new()),
    };
    let numbers: String = (0..told)
        .map(|place| format!("(call $number (i64.extend_i32_u (local.get {place})))"))
        .collect();
    let rules = case.rules.iter().filter(|rule| rule.on == on);
    let rules: String = rules
        .map(|rule| {
            let does: String = rule.does.iter().map(|what| action(what, text)).collect();
            match rule.time {
                None => does,
                Some(time) => format!(
                    "(if (i32.eq (global.get $times_{name}) (i32.const {time})) (then {does}))\n"
                ),
            }
        })
        .collect();
    let place = text.put(name.as_bytes());
    let give = returns.map_or("", |_| "(local.get $result)");
    format!(
        "(global $times_{name} (mut i32) (i32.const 0))
(func (export \"proxy_on_{name}\") (param {parameters}) {result} (local $result i32) (local $status i32)
  (global.set $times_{name} (i32.add (global.get $times_{name}) (i32.const 1)))
  (call $text {place}) {numbers} (call $say)
  {last}
  {rules}
  {give})\n"
    )
}

fn action(what: &Do, text: &mut Text) -> String {
    match what {
        Do::Return(value) => format!("(local.set $result (i32.const {value}))\n"),
        Do::Trap => "(unreachable)\n".into(),
        Do::Call {
            name,
            arguments,
            tells,
        } => {
            let (types, given): (Vec<_>, Vec<_>) =
                arguments.iter().map(|one| argument(one, text)).unzip();
            let import = format!("proxy_{name}");
            let called = format!("(call ${import} {})", given.concat());
            text.imports.insert(import, types.concat());
            let label = text.put(format!("  {name}").as_bytes());
            let tells: String = tells.iter().map(|one| tell(*one)).collect();
            format!(
                "(call $forget) (local.set $status {called})
  (call $text {label}) (call $number (i64.extend_i32_u (local.get $status))) {tells} (call $say)\n"
            )
        }
    }
}

fn argument(argument: &Argument, text: &mut Text) -> (&'static str, String) {
    match argument {
        Argument::Number(number) => ("i32 ", format!("(i32.const {number})")),
        Argument::Wide(number) => ("i64 ", format!("(i64.const {number})")),
        Argument::Text(bytes) => ("i32 i32 ", text.put(bytes)),
        Argument::Kept(address) => ("i32 ", format!("(i32.load (i32.const {address}))")),
    }
}

fn tell(tell: Tell) -> String {
    let (pointer, size) = (at::POINTER, at::SIZE);
    match tell {
        Tell::Bytes => {
            format!("(call $bytes (i32.load (i32.const {pointer})) (i32.load (i32.const {size})))")
        }
        Tell::Number(address) => {
            format!("(call $number (i64.extend_i32_u (i32.load (i32.const {address}))))")
        }
        Tell::Wide(address) => format!("(call $number (i64.load (i32.const {address})))"),
        Tell::Pairs => format!(
            "(if (i32.load (i32.const {size}))
               (then (call $number (i64.extend_i32_u (i32.load (i32.load (i32.const {pointer}))))))
               (else (call $number (i64.const 0))))"
        ),
    }
}
