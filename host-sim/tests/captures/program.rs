//! The program on captures, and on the scenarios it makes of them.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use super::dialogue::{Dialogue, SESSION, both};
use super::packets::{Link, pcap};

/// Changes the first octet of all that the client says to `X`.
const MEDDLER: &str = r#"(module
  (import "env" "proxy_set_buffer_bytes" (func $set (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 8) "X")
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 16)
  (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
    (if (local.get 1) (then (drop (call $set (i32.const 2) (i32.const 0) (i32.const 1)
      (i32.const 8) (i32.const 1)))))
    (i32.const 0)))"#;
const PASSES: &str = r#"(module (memory (export "memory") 1)
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 8))"#;

/// A directory with two filters, and a capture of two sessions.
fn directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    let write =
        |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes).unwrap();
    write("meddler.wasm", &wat::parse_str(MEDDLER).unwrap());
    write("passes.wasm", &wat::parse_str(PASSES).unwrap());
    let sessions = ["192.0.2.1:4000", "[2001:db8::1]:4001"];
    let servers = ["198.51.100.1:25", "[2001:db8::2]:2525"];
    let packets = sessions.iter().zip(servers).flat_map(|(client, server)| {
        let ends = format!("{client} {server}");
        Dialogue::between(&ends).session().packets
    });
    write(
        "mx.pcap",
        &pcap(Link::Ethernet, &packets.collect::<Vec<_>>()),
    );
    directory
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_host-sim"))
        .current_dir(directory)
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// One object a line.
fn objects(output: &Output) -> Vec<Value> {
    let lines = text(&output.stdout);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_capture_is_replayed_through_a_filter_that_changes_nothing() {
    let directory = directory();
    let replay = ["replay", "mx.pcap", "--wasm", "passes.wasm"];
    let output = run(directory.path(), &replay);
    assert!(output.status.success(), "{output:?}");
    let said = text(&output.stdout);
    let (client, server) = both(SESSION);
    let (sent, heard) = (client.len(), server.len());
    let ok = format!("ok mx.pcap#1: {sent} octets to the server, {heard} to the client, unchanged");
    assert!(said.contains(&format!("\n{ok}\n")), "{said}");
    assert!(said.contains(" C> EHLO client.example\n"), "{said}");
    assert_eq!(
        text(&output.stderr),
        "mx.pcap: 64 packets, 2 SMTP connections\n"
    );
    for seed in ["1", "2"] {
        let seeded = [&replay[..], &["--seed", seed, "--quiet"]].concat();
        let output = run(directory.path(), &seeded);
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn what_a_filter_changes_in_a_capture_is_shown() {
    let directory = directory();
    let replay = ["replay", "mx.pcap", "--wasm", "meddler.wasm", "--json"];
    let output = run(directory.path(), &replay);
    assert_eq!(output.status.code(), Some(1));
    let sessions = objects(&output);
    assert_eq!(sessions.len(), 2);
    for (session, name) in sessions.iter().zip(["mx.pcap#1", "mx.pcap#2"]) {
        assert_eq!(session["name"], name);
        assert_eq!(session["outcome"], "failed");
        assert_eq!(session["differences"][0]["reader"], "server");
        assert_eq!(session["differences"][0]["after"], 0);
        assert_eq!(session["differences"][0]["read"], "`XHLO client.example`");
        assert_eq!(
            session["octets"]["client_wrote"],
            session["octets"]["server_read"]
        );
        assert_eq!(session["capture"]["lost"], 0);
        assert!(session["entries"].as_array().unwrap().len() > 20);
    }
    assert!(text(&output.stderr).ends_with("2 of 2 sessions failed\n"));
}

#[test]
fn a_capture_becomes_scenarios_that_replay_and_are_formatted() {
    let directory = directory();
    let output = run(
        directory.path(),
        &["convert", "mx.pcap", "--out", "new/made"],
    );
    assert!(output.status.success(), "{output:?}");
    let files = ["new/made/mx-0001.txt", "new/made/mx-0002.txt"];
    assert_eq!(text(&output.stdout), files.join("\n") + "\n");
    let second = std::fs::read_to_string(directory.path().join(files[1])).unwrap();
    assert!(second.starts_with("client: [2001:db8::1]:4001\nlocal: [2001:db8::2]:2525\n"));
    for filter in ["passes.wasm", "meddler.wasm"] {
        let output = run(
            directory.path(),
            &["replay", files[0], files[1], "--wasm", filter],
        );
        assert_eq!(output.status.success(), filter == "passes.wasm");
    }
    let output = run(directory.path(), &["fmt", "--check", files[0], files[1]]);
    assert!(output.status.success(), "{output:?}");
    let again = run(
        directory.path(),
        &["convert", "mx.pcap", "--out", "new/made", "--json"],
    );
    assert!(text(&again.stderr).contains("cannot write new/made/mx-0001.txt"));
    let output = run(
        directory.path(),
        &["convert", "mx.pcap", "--out", "other", "--json"],
    );
    assert_eq!(objects(&output)[1]["file"], "other/mx-0002.txt");
    let scenario = run(directory.path(), &["convert", files[0], "--out", "other"]);
    assert!(text(&scenario.stderr).contains("is a scenario already"));
}

#[test]
fn files_that_are_neither_are_named() {
    let directory = directory();
    let write =
        |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes).unwrap();
    write("zipped", &[0x1f, 0x8b, 8, 0, 0xff]);
    write("empty.pcap", &pcap(Link::Raw, &[]));
    let output = run(
        directory.path(),
        &[
            "replay",
            "zipped",
            "empty.pcap",
            "mx.pcap",
            "--quiet",
            "--json",
            "--wasm",
            "passes.wasm",
        ],
    );
    let failed = objects(&output);
    let errors: Vec<&str> = failed
        .iter()
        .map(|failed| failed["error"].as_str().unwrap())
        .collect();
    assert_eq!(errors.len(), 2);
    assert!(
        errors[0].contains("zipped") && errors[0].contains("decompress it first"),
        "{errors:?}"
    );
    assert!(
        errors[1].contains("no SMTP connection in it (0 packets"),
        "{errors:?}"
    );
}

#[test]
fn fmt_formats_and_checks() {
    let directory = directory();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("a.txt"), "C>   a \n").unwrap();
    std::fs::write(at("b.txt"), "C> b\n").unwrap();
    std::fs::write(at("bad.txt"), "C> b\nX\n").unwrap();
    let output = run(directory.path(), &["fmt", "--check", "a.txt", "b.txt"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "not formatted a.txt\n");
    assert_eq!(std::fs::read(at("a.txt")).unwrap(), b"C>   a \n");
    let output = run(directory.path(), &["fmt", "a.txt", "b.txt", "--json"]);
    assert!(output.status.success());
    let looks: Vec<Value> = objects(&output)
        .iter()
        .map(|file| file["look"].clone())
        .collect();
    assert_eq!(looks, ["formatted", "unchanged"]);
    assert_eq!(std::fs::read(at("a.txt")).unwrap(), b"C>   a\\x20\n");
    let output = run(directory.path(), &["fmt", "bad.txt", "b.txt"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("bad.txt:2:1: unknown marker `X`"));
}
