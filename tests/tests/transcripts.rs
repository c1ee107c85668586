//! What real Envoy writes down of sessions: one record each, and a transcript that replays to the
//! same verdict.

use std::{collections::BTreeMap, fs::File, io::BufReader, process::Command};

use anyhow::{Context, Result, ensure};
use portcullis_host_sim::{
    FilterModule,
    attack::{Guard, RecordFields},
    scenario::{PlayOptions, play},
    transcripts::{Choice, Replay, Transcript, read},
};
use portcullis_tests::paths;
use serde_json::Value;
use tempfile::TempDir;

const POLICY: &str = r#"{"transcripts": {"sessions": "all"}}"#;
const REFUSALS: &str = "portcullis_refusals";

/// The demo's attack, small, before real Envoy; its access log.
fn demo(directory: &TempDir) -> Result<Vec<Transcript>> {
    let log = directory.path().join("access.log");
    let sizes = "--bots 20 --sessions 10 --honest 20 --at-once 40 --transcripts";
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis-demo"))
        .args(sizes.split(' '))
        .arg(&log)
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{errors}");
    // Every session has its line, and every line its record.
    let text = std::fs::read_to_string(&log)?;
    let lines: Vec<Value> = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let mut of_connection = BTreeMap::new();
    for line in &lines {
        *of_connection
            .entry(line["connection"].as_u64())
            .or_insert(0) += 1;
        let record = &line["portcullis"];
        ensure!(record["verdict"].is_string(), "{line:#}");
        let is_closed = record["verdict"] == "close";
        let rejected = record.pointer("/evidence/rejected");
        let explains = rejected.is_some_and(Value::is_u64) && record["rule"].is_string();
        ensure!(!is_closed || explains, "{line:#}");
    }
    ensure!(of_connection.values().all(|count| *count == 1), "twice");
    let transcripts = read(BufReader::new(File::open(&log)?), &Choice::default())?;
    assert_eq!(transcripts.len(), lines.len(), "each has a transcript");
    ensure!(lines.len() >= 200, "{} sessions", lines.len());
    Ok(transcripts)
}

#[test]
fn sessions_of_the_demo_replay_to_their_verdicts() -> Result<()> {
    let directory = TempDir::new()?;
    let transcripts = demo(&directory)?;
    let module = FilterModule::from_file(&paths::wasm()?)?;
    let guard = Guard {
        module: module.clone(),
        policy: POLICY.as_bytes().to_vec(),
        echo_clusters: vec![REFUSALS.to_owned()],
        dns_clusters: Vec::new(),
    };
    let fields = RecordFields::default();
    let replay = Replay {
        transcripts: &transcripts,
        guard: &guard,
        fields: &fields,
    };
    let replayed = replay.play()?;
    assert_eq!(replayed.len(), transcripts.len());
    for (transcript, session) in transcripts.iter().zip(&replayed) {
        ensure!(
            session.is_same_verdict(),
            "{session:#?}\n{}",
            transcript.text
        );
    }
    let same = replayed.iter().filter(|session| session.is_same()).count();
    println!("{same} of {} have the same rule, too", replayed.len());

    // One that was turned away explains itself, without the sessions for which it was.
    let refused = |at: &&Transcript| at.says("verdict") == Some("refuse");
    let refused = transcripts
        .iter()
        .find(refused)
        .context("none was refused")?;
    let options = PlayOptions {
        policy: Some(guard.policy.clone()),
        echo_clusters: guard.echo_clusters.clone(),
        ..PlayOptions::default()
    };
    let scenario = refused.checked("portcullis", &fields.fields);
    let report = play(&scenario, &module, &options)?;
    ensure!(report.failure.is_none(), "{:#?}", report.failure);
    by_command_line(&directory, refused)
}

/// The same log by the program.
fn by_command_line(directory: &TempDir, refused: &Transcript) -> Result<()> {
    let log = directory.path().join("access.log");
    let run = |arguments: &[&str]| -> Result<String> {
        let mut command = Command::new(paths::host_sim()?);
        command.arg("transcripts").arg("-").args(arguments);
        let output = command.stdin(File::open(&log)?).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {errors}");
        Ok(String::from_utf8(output.stdout)?)
    };
    let client = refused.scenario.client.ip().to_string();
    let chosen = ["--client", &client, "--verdict", "refuse"];
    let listed = run(&chosen)?;
    ensure!(listed.contains(&format!("{client}:")), "{listed}");
    ensure!(!listed.contains("close"), "{listed}");
    let printed = run(&[&chosen[..], &["--print"]].concat())?;
    ensure!(printed.contains("client ← guard   421 4.7.1 "), "{printed}");
    let folder = directory.path().join("sessions");
    let folder = folder.to_string_lossy();
    let written = run(&[&chosen[..], &["--out", &folder]].concat())?;
    let policy = directory.path().join("policy.json");
    std::fs::write(&policy, POLICY)?;
    // The scenarios are played as any other.
    let output = Command::new(paths::host_sim()?)
        .arg("replay")
        .args(written.lines())
        .args(["--echo-cluster", REFUSALS, "--policy"])
        .arg(&policy)
        .arg("--wasm")
        .arg(paths::wasm()?)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}");
    let replayed = run(&[
        "--replay",
        &paths::wasm()?.to_string_lossy(),
        "--policy",
        &policy.to_string_lossy(),
        "--echo-cluster",
        REFUSALS,
    ])?;
    ensure!(
        replayed.contains("sessions have the same verdict"),
        "{replayed}"
    );
    Ok(())
}
