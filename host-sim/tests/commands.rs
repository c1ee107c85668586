//! The commands that look at filters and sessions: what they print, and their exit codes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test"
)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_host-sim");

/// A filter that knows nothing of mail. It lets everything pass but the server's
/// words that begin with `5`: then it closes, and says so in its log, by a metric and
/// in its record. With a configuration it does not.
const FILTER: &str = r#"(module
(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
(import "env" "proxy_get_buffer_bytes" (func $bytes (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
(import "env" "proxy_set_property" (func $set (param i32 i32 i32 i32) (result i32)))
(import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
(import "env" "proxy_increment_metric" (func $count (param i32 i64) (result i32)))
(memory (export "memory") 2)
(global $heap (mut i32) (i32.const 4096))
(global $idle (mut i32) (i32.const 0))
(data (i32.const 64) "record")
(data (i32.const 80) "{\"verdict\":\"closed\",\"code\":5}")
(data (i32.const 128) "it said 5")
(data (i32.const 144) "closes_total")
(func (export "proxy_abi_version_0_2_1"))
(func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
  global.get $heap (global.set $heap (i32.add (global.get $heap) (local.get $size))))
(func (export "proxy_on_configure") (param i32 i32) (result i32)
  (global.set $idle (i32.gt_u (local.get 1) (i32.const 2)))
  (drop (call $define (i32.const 0) (i32.const 144) (i32.const 12) (i32.const 8))) (i32.const 1))
(func (export "proxy_on_upstream_data") (param $context i32) (param $size i32) (param i32) (result i32)
  (if (i32.or (global.get $idle) (i32.eqz (local.get $size))) (then (return (i32.const 0))))
  (drop (call $bytes (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 16) (i32.const 20)))
  (if (i32.eq (i32.load8_u (i32.load (i32.const 16))) (i32.const 53)) (then
    (drop (call $log (i32.const 2) (i32.const 128) (i32.const 9)))
    (drop (call $count (i32.load (i32.const 8)) (i64.const 1)))
    (drop (call $set (i32.const 64) (i32.const 6) (i32.const 80) (i32.const 29)))
    (drop (call $close (i32.const 2)))))
  (i32.const 0)))"#;

const SESSION: &str = "client: 203.0.113.9:40001\nS> 220 mx\nC> EHLO a\nS> 250 ok\n\
    C> MAIL FROM:<>\nS> 250 ok\nC> RCPT TO:<a@b>\nS> 550 no\nC> RCPT TO:<b@b>\nS> 250 ok\n\
    C> DATA\nS> 354 go\nC> hello\nC+ .\nS> 250 done\nC> QUIT\nS> 221 bye\nC|\n";

/// A directory with the filter and a session in which mail was accepted.
fn directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes);
    write("filter.wasm", &wat::parse_str(FILTER).unwrap()).unwrap();
    write("session", SESSION.as_bytes()).unwrap();
    write("idle.json", b"{\"idle\":true}").unwrap();
    directory
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.current_dir(directory).env_remove("HOST_SIM_WASM");
    command.args(arguments).output().unwrap()
}

/// What a command prints; it must end with this code.
fn printed(directory: &Path, arguments: &[&str], code: i32) -> String {
    let output = run(directory, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        !text.contains('\x1b'),
        "no colours where there is no terminal"
    );
    text
}

fn json(directory: &Path, arguments: &[&str], code: i32) -> Value {
    serde_json::from_str(&printed(directory, arguments, code)).unwrap()
}

#[test]
fn explain_shows_the_filters_part() {
    let directory = directory();
    let arguments = ["explain", "session", "--wasm", "filter.wasm"];
    let text = printed(directory.path(), &arguments, 0);
    for part in [
        "client → server  EHLO a",
        "server → client  250 ok",
        "       ⇤ server  550 no  (the client never read it)",
        "filter logs    info it said 5",
        "filter counts  closes_total +1",
        "closed by the filter",
        "verdict  closed",
        "code           5",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let story = json(directory.path(), &[&arguments[..], &["--json"]].concat(), 0);
    assert_eq!(story["verdict"], "closed");
    assert_eq!(story["events"][0]["kind"], "server-to-client");
    assert_eq!(story["events"][0]["text"], "220 mx");
}

#[test]
fn what_if_puts_honest_senders_first_and_fails_when_told_to() {
    let directory = directory();
    std::fs::create_dir(directory.path().join("sessions")).unwrap();
    let write = |name, text: &str| {
        std::fs::write(directory.path().join("sessions").join(name), text).unwrap();
    };
    write(
        "a-guess",
        "S> 220 mx\nC> RCPT TO:<a@b>\nS> 550 no\nC> NOOP\nS> 250 ok\n",
    );
    write("b-mail", SESSION);
    write("c-quiet", "S> 220 mx\nC> QUIT\nS> 221 bye\n");
    let strict = [
        "what-if",
        "sessions",
        "--wasm",
        "filter.wasm",
        "--policy",
        "idle.json",
    ];
    let strict = [&strict[..], &["--other", "empty.json", "--fail-on-harm"]].concat();
    std::fs::write(directory.path().join("empty.json"), "{}").unwrap();

    let text = printed(directory.path(), &strict, 3);
    assert!(text.contains("2 of 3 sessions would be treated differently, 1 of 1 honest ones"));
    let found = json(directory.path(), &[&strict[..], &["--json"]].concat(), 3);
    let differences = found["differences"].as_array().unwrap();
    let names: Vec<_> = differences
        .iter()
        .map(|at| at["session"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["sessions/b-mail", "sessions/a-guess"]);
    assert_eq!(differences[0]["change"], "mail-lost");
    assert_eq!(differences[0]["before"]["accepted"], 1);
    assert_eq!(differences[0]["after"]["accepted"], 0);
    assert_eq!(differences[0]["read_before"], "550 no");
    assert_eq!(differences[0]["read_after"], Value::Null);
    assert_eq!(differences[1]["change"], "cut-now");

    let mild = [
        "what-if",
        "sessions",
        "--wasm",
        "filter.wasm",
        "--policy",
        "empty.json",
    ];
    let mild = [
        &mild[..],
        &["--other", "idle.json", "--fail-on-harm", "--json"],
    ]
    .concat();
    let found = json(directory.path(), &mild, 0);
    assert_eq!(found["differences"][0]["change"], "mail-gained");
    let output = run(
        directory.path(),
        &[
            "what-if",
            "gone",
            "--wasm",
            "filter.wasm",
            "--other",
            "idle.json",
        ],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot read gone"));
}

#[test]
fn attack_tells_harm_by_its_exit_code() {
    let directory = directory();
    let small = "attack --wasm filter.wasm --bots 3 --sessions 2 --siblings 1 --honest 17 \
        --unknown-reply 550 --ramp 1s --rest 1s..2s";
    let small: Vec<&str> = small.split_ascii_whitespace().collect();
    let found = json(directory.path(), &[&small[..], &["--json"]].concat(), 0);
    assert_eq!(found["without"]["attack_sessions"], 6);
    assert_eq!(found["with"]["attack_records"]["closed"], 6);
    // A mistyped recipient ends every try of its message: this filter does harm.
    let lost = found["with"]["honest"]["typo"]["lost"].as_u64().unwrap();
    assert!(lost > 0 && found["without"]["honest"]["typo"]["lost"] == 0);
    let text = printed(
        directory.path(),
        &[&small[..], &["--fail-on-harm"]].concat(),
        3,
    );
    assert!(text.contains("honest messages were lost"), "{text}");
    let harmless = [&small[..], &["--policy", "idle.json", "--fail-on-harm"]].concat();
    let text = printed(directory.path(), &harmless, 0);
    assert!(text.contains("no honest message was lost"), "{text}");
    let bad = run(
        directory.path(),
        &["attack", "--wasm", "filter.wasm", "--rest", "2s..1s"],
    );
    assert_eq!(bad.status.code(), Some(2));
}

#[test]
fn inspect_says_whether_it_would_load() {
    let directory = directory();
    let text = printed(directory.path(), &["inspect", "filter.wasm"], 0);
    for part in [
        "0.2.1",
        "131,072 bytes at first",
        "env.proxy_log",
        "Envoy would load it",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let found = json(directory.path(), &["inspect", "filter.wasm", "--json"], 0);
    assert_eq!(found["imports"][0]["envoy"], "hostcall");
    std::fs::write(
        directory.path().join("bad.wasm"),
        wat::parse_str("(module)").unwrap(),
    )
    .unwrap();
    let text = printed(directory.path(), &["inspect", "bad.wasm"], 1);
    assert!(
        text.contains("Envoy would not load it") && text.contains("malloc"),
        "{text}"
    );
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let directory = directory();
    let commands = [
        "replay", "attack", "what-if", "explain", "inspect", "serve", "mta",
    ];
    for shell in ["bash", "zsh", "fish"] {
        let text = printed(directory.path(), &["completions", shell], 0);
        for command in commands {
            assert!(text.contains(command), "{command} in {shell}");
        }
    }
    printed(directory.path(), &["man", "--out", "."], 0);
    for command in commands {
        let page = directory.path().join(format!("host-sim-{command}.1"));
        assert!(page.is_file(), "{}", page.display());
    }
    assert!(printed(directory.path(), &["man"], 0).contains("EXIT"));
}
