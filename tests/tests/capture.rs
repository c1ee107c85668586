//! Real sessions, captured by tcpdump between real clients and real Postfix, replayed: through the
//! filter that only observes, each side reads what the other sent.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use portcullis_host_sim::{
    FilterModule,
    capture::{self, Beginning, Conversation, Happening, Options},
    scenario::{PlayOptions, Report, Scenario, Side, play},
};
use portcullis_tests::{
    deadline::{PATIENCE, Seen, wait_for},
    paths,
    postfix::{Postfix, Service},
    process::Process,
};
use tempfile::TempDir;

const OBSERVE: &str = r#"{"mode": "observe"}"#;
/// One unknown recipient is one too many.
const STRICT: &str = r#"{"rcpt": {"max_consecutive": 1}}"#;

/// tcpdump at work on the loopback interface.
struct Tcpdump {
    process: Process,
    file: PathBuf,
    _directory: TempDir,
}

impl Tcpdump {
    fn start(port: u16) -> Result<Self> {
        let directory = TempDir::new()?;
        let file = directory.path().join("session.pcap");
        let mut command = Command::new(paths::on_path("tcpdump")?);
        // It writes each packet as it comes, as the user who started it.
        command.args([
            "-i",
            "lo",
            "-n",
            "-U",
            "--immediate-mode",
            "-Z",
            "root",
            "-w",
        ]);
        command.arg(&file).arg(format!("tcp port {port}"));
        let log = directory.path().join("tcpdump.log");
        let mut process = Process::start("tcpdump", command, &log)?;
        wait_for("tcpdump listening", PATIENCE, || {
            let said = process.log()?;
            if said.contains("listening on") {
                return Ok(Seen::Done(()));
            }
            process.still_runs()?;
            Ok(Seen::NotYet(said))
        })
        .context(
            "capturing on lo needs CAP_NET_RAW: run the tests as root, or give it to tcpdump",
        )?;
        Ok(Self {
            process,
            file,
            _directory: directory,
        })
    }

    /// The sessions in the file so far.
    fn sessions(&self) -> Result<Vec<Conversation>, capture::CaptureError> {
        let mut sessions = Vec::new();
        let options = Options::default();
        // Postfix was greeted before, and those sessions may still be ending.
        capture::read(File::open(&self.file)?, &options, |session| {
            if session.beginning == Beginning::Captured {
                sessions.push(session);
            }
        })?;
        Ok(sessions)
    }

    /// Waits until so many sessions are in the file, from their beginning to their end.
    fn wait_for_sessions(&mut self, count: usize) -> Result<Vec<Conversation>> {
        let sessions = wait_for("whole sessions in the capture", PATIENCE, || {
            self.process.still_runs()?;
            let sessions = match self.sessions() {
                Ok(sessions) => sessions,
                Err(error) => return Ok(Seen::NotYet(error.to_string())),
            };
            let whole = sessions.iter().filter(|session| has_ended(session)).count();
            Ok(if whole < count {
                Seen::NotYet(format!("{whole} of {} sessions ended", sessions.len()))
            } else {
                Seen::Done(sessions)
            })
        })?;
        Ok(sessions)
    }
}

fn has_ended(session: &Conversation) -> bool {
    let ended = |side| {
        let mut events = session.events.iter();
        events.any(|event| event.side == side && event.happening == Happening::Ended)
    };
    ended(Side::Client) && ended(Side::Server)
        || session
            .events
            .iter()
            .any(|event| event.happening == Happening::Reset)
}

fn succeeds(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{command:?}: {output:?}");
    Ok(said)
}

/// One session each of swaks, which pipelines, and of smtplib.
fn clients_speak(postfix: &Postfix) -> Result<()> {
    let address = postfix.address(Service::Unknown550);
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    succeeds(
        Command::new(paths::on_path("swaks")?)
            .args(["--server", &host, "--port", &port, "--pipeline"])
            .args([
                "--from",
                "sender@example.org",
                "--helo",
                "client.example.org",
            ])
            .args([
                "--to",
                "alice@example.test,alcie@example.test,bob@example.test",
            ]),
    )?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/smtplib_habits.py");
    let said = succeeds(
        Command::new(paths::python()?)
            .arg(script)
            .args([&host, &port]),
    )?;
    ensure!(said.trim().ends_with("delivered 4"), "{said}");
    Ok(())
}

fn replay(session: &Conversation, filter: &FilterModule, options: PlayOptions) -> Result<Report> {
    // As a file would be read.
    let scenario: Scenario = session.scenario().to_string().parse()?;
    Ok(play(&scenario, filter, &options)?)
}

#[test]
fn real_sessions_replay_with_the_same_bytes_on_both_sides() -> Result<()> {
    let postfix = Postfix::start()?;
    let port = postfix.address(Service::Unknown550).port();
    let mut tcpdump = Tcpdump::start(port)?;
    clients_speak(&postfix)?;
    let sessions = tcpdump.wait_for_sessions(2)?;
    tcpdump.process.end()?;
    ensure!(sessions.len() == 2, "{} sessions", sessions.len());

    let filter = FilterModule::from_file(&paths::wasm()?)?;
    for session in &sessions {
        let text = |side| String::from_utf8_lossy(&session.sent(side)).into_owned();
        let (client, server) = (text(Side::Client), text(Side::Server));
        ensure!(
            client
                .to_uppercase()
                .contains("RCPT TO:<ALCIE@EXAMPLE.TEST>\r\n"),
            "{client}"
        );
        ensure!(
            server.contains("\r\n550 5.1.1 <alcie@example.test>"),
            "{server}"
        );
        ensure!(server.ends_with("221 2.0.0 Bye\r\n"), "{server}");
        ensure!(
            session.lost == 0 && !session.cut,
            "{:?}",
            session.oddities()
        );

        for (split, seed) in [(0, None), (1, None), (0, Some(1)), (0, Some(2))] {
            let options = PlayOptions {
                policy: Some(OBSERVE.into()),
                split,
                seed,
                ..PlayOptions::default()
            };
            let report = replay(session, &filter, options)?;
            ensure!(report.failure.is_none(), "{:?}", report.failure);
            let totals = report.totals;
            assert_eq!(
                (totals.client_wrote, totals.server_read),
                (client.len(), client.len())
            );
            assert_eq!(
                (totals.server_wrote, totals.client_read),
                (server.len(), server.len())
            );
        }
    }
    // smtplib waits for each reply, and so is not met by one to what the filter holds back.
    let options = PlayOptions {
        policy: Some(STRICT.into()),
        ..PlayOptions::default()
    };
    let changed = replay(&sessions[1], &filter, options)?;
    let difference = changed.differences.last().context("nothing was changed")?;
    assert_eq!(difference.reader, Side::Client);
    ensure!(difference.read.starts_with("`421 4.7.0 "), "{difference}");
    replayed_by_the_program(&tcpdump.file)
}

/// The program says the same of the file.
fn replayed_by_the_program(file: &Path) -> Result<()> {
    let directory = TempDir::new()?;
    let policy = directory.path().join("observe.json");
    std::fs::write(&policy, OBSERVE)?;
    let said = succeeds(
        Command::new(paths::host_sim()?)
            .arg("replay")
            .arg(file)
            .arg("--wasm")
            .arg(paths::wasm()?)
            .arg("--policy")
            .arg(policy),
    )?;
    let unchanged = said
        .lines()
        .filter(|line| line.starts_with("ok ") && line.contains(", unchanged"));
    ensure!(unchanged.count() == 2, "{said}");
    Ok(())
}
