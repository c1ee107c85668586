//! The program itself: exit codes, what it prints, signals.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portcullis_host_sim::mta::StatsSnapshot;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_host-sim");
const DEADLINE: Duration = Duration::from_secs(10);

/// A directory with a filter that lets everything pass.
fn directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    let text = r#"(module (memory (export "memory") 1)
        (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 8))"#;
    let wasm = wat::parse_str(text).unwrap();
    std::fs::write(directory.path().join("filter.wasm"), wasm).unwrap();
    directory
}

fn replay(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .current_dir(directory)
        .env("HOST_SIM_WASM", "filter.wasm");
    command.arg("replay").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn replay_says_what_happened_and_fails_when_it_should() {
    let directory = directory();
    let write = |name, text| std::fs::write(directory.path().join(name), text).unwrap();
    write("good", "S> 220 mx\nC< 220 *\n");
    write("bad", "S> 220 mx\nC< 554 *\n");
    write("broken", "C> a\nwhat\n");

    let good = replay(directory.path(), &["good", "--split", "1"]);
    assert!(good.status.success());
    assert_eq!(
        text(&good.stdout),
        "== good\n    0.000 S> 220 mx\n    0.000 C< 2\\\n    0.000 C< 2\\\n    0.000 C< 0\\\n"
            .to_owned()
            + "    0.000 C<  \\\n    0.000 C< m\\\n    0.000 C< x\\\n    0.000 C< \\r\\\n"
            + "    0.000 C< \\n\\\n    0.000 # the scenario ends\n    0.000 S<|\n    0.000 C<|\nok good\n"
    );

    let all = replay(
        directory.path(),
        &["--quiet", "bad", "broken", "good", "none"],
    );
    assert_eq!(all.status.code(), Some(1));
    let printed = text(&all.stdout);
    let verdicts: Vec<&str> = printed
        .lines()
        .filter(|line| line.starts_with("ok") || line.starts_with("FAILED"))
        .collect();
    assert_eq!(verdicts.len(), 4, "{printed}");
    assert_eq!(
        verdicts[0],
        "FAILED: line 2: expected the client to read `554 *`, got `220 mx`"
    );
    assert!(verdicts[1].starts_with("FAILED: broken:2:1: unknown marker `what`"));
    assert!(printed.contains("\n2 | what\n  | ^^^^\n"), "{printed}");
    assert_eq!(verdicts[2], "ok good");
    assert!(verdicts[3].starts_with("FAILED: cannot read none"));
    assert_eq!(text(&all.stderr), "3 of 4 sessions failed\n");
}

#[test]
fn a_missing_filter_is_named() {
    let directory = directory();
    let output = replay(directory.path(), &["x", "--wasm", "gone.wasm"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot read gone.wasm"));
}

/// A server that says where it listens; killed when dropped.
struct Running {
    child: Child,
    address: String,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap();
        Self {
            address: address.to_owned(),
            child,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn stats_with(path: &Path, rcpt: u64) -> StatsSnapshot {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let read = std::fs::read_to_string(path).unwrap_or_default();
        let stats: StatsSnapshot = serde_json::from_str(&read).unwrap_or_default();
        if stats.rcpt == rcpt || Instant::now() > deadline {
            return stats;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn mta_and_serve_say_where_they_listen_and_end_on_sigterm() {
    let directory = directory();
    let stats = directory.path().join("stats.json");
    let stats_argument = stats.to_str().unwrap();
    let mut mta = Running::start(&["mta", "--known", "alice", "--stats", stats_argument]);
    let wasm = directory.path().join("filter.wasm");
    let wasm = wasm.to_str().unwrap();
    let mut serve = Running::start(&[
        "serve",
        "--wasm",
        wasm,
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        &mta.address,
        "--quiet",
    ]);

    let mut client = serve.connect();
    client
        .write_all(b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<x@example.test>\r\nQUIT\r\n")
        .unwrap();
    let mut replies = String::new();
    client.read_to_string(&mut replies).unwrap();
    assert!(
        replies.contains("\r\n451 No such user\r\n221 "),
        "{replies}"
    );

    mta.signal(Signal::SIGUSR1);
    let seen = stats_with(&stats, 1);
    assert_eq!((seen.connections, seen.rcpt, seen.rcpt_unknown), (1, 1, 1));

    let mut open = mta.connect();
    serve.signal(Signal::SIGTERM);
    assert_eq!(serve.wait(), Some(0));
    // The greeting shows that the session is under way before the server ends.
    let mut greeting = vec![0; "220 example.test ESMTP\r\n".len()];
    open.read_exact(&mut greeting).unwrap();
    mta.signal(Signal::SIGTERM);
    let mut last = String::new();
    open.read_to_string(&mut last).unwrap();
    assert_eq!(last, "421 4.3.2 example.test shutting down\r\n");
    assert_eq!(mta.wait(), Some(0));
    assert_eq!(stats_with(&stats, 1).connections, 2);
}
