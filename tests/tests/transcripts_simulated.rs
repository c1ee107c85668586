//! Transcripts in the simulator: secrets stay out of all that the filter writes, under any
//! segmentation, and memory keeps its bounds.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use portcullis_host_sim::{
    ConnId, FilterModule, HostError, HttpAnswer, LogLevel, Simulator,
    attack::{Guard, RecordFields},
    for_seeds,
    transcripts::{Choice, Replay, Replayed, read},
};
use portcullis_tests::{
    dnsbl::{Question, Reply, Scripted, scripted, test_point},
    paths,
};
use serde_json::Value;

const PASSWORD: &str = "correct-horse-battery";

fn client(number: usize) -> SocketAddr {
    let [_, _, high, low] = u32::try_from(number).unwrap_or_default().to_be_bytes();
    SocketAddr::from(([198, 18, high, low], 40_000))
}

fn server() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 25], 25))
}

/// What the filter wrote down of a session that is over.
fn transcript(sim: &Simulator, conn: ConnId) -> Result<Option<String>> {
    let properties = &sim.summary(conn).context("it is not over")?.properties;
    let Some(member) = properties.get("portcullis_transcript") else {
        return Ok(None);
    };
    let object = format!("{{\"before\":0{}}}", std::str::from_utf8(member)?);
    let object: BTreeMap<String, Value> = serde_json::from_str(&object)?;
    let text = object.get("transcript").and_then(Value::as_str);
    Ok(Some(text.context("no text")?.to_owned()))
}

/// A session in which the client tells its password, the server answering in between.
fn tell(sim: &mut Simulator, lines: &[(String, &str)]) -> ConnId {
    let conn = sim.open(client(7), server());
    let quiet = Duration::from_secs(1);
    let turn = |sim: &mut Simulator, said: &str, answer: &str| {
        sim.client_write(conn, said.as_bytes());
        let _ = sim.advance_until_quiet(quiet);
        sim.server_write(conn, answer.as_bytes());
        let _ = sim.advance_until_quiet(quiet);
    };
    turn(sim, "", "220 mx.example.test ESMTP\r\n");
    turn(sim, "EHLO a.test\r\n", "250-mx\r\n250 AUTH PLAIN LOGIN\r\n");
    for (said, answer) in lines {
        turn(sim, said, answer);
    }
    sim.client_half_close(conn);
    let _ = sim.advance_until_quiet(quiet);
    sim.server_half_close(conn);
    let _ = sim.advance_until_quiet(quiet);
    conn
}

#[test]
fn passwords_stay_out_of_logs_records_and_transcripts() -> Result<()> {
    let module = FilterModule::from_file(&paths::wasm()?)?;
    let coded = |text: &str| STANDARD.encode(text);
    let plain = coded(&format!("\0user\0{PASSWORD}"));
    let alone = coded(PASSWORD);
    let failed = format!("535 5.7.8 {plain} {alone} failed\r\n");
    let dialogues = [
        vec![(format!("AUTH PLAIN {plain}\r\n"), failed.as_str())],
        vec![
            ("AUTH LOGIN\r\n".to_owned(), "334 VXNlcm5hbWU6\r\n"),
            ("dXNlcg==\r\n".to_owned(), "334 UGFzc3dvcmQ6\r\n"),
            (format!("{alone}\r\n"), "235 2.7.0 ok\r\n"),
        ],
        // Not waited for, and in the wrong place.
        vec![
            (format!("AUTH PLAIN\r\n{plain}\r\n"), "502 5.5.1 AUTH?\r\n"),
            (format!("AUHT PLAIN {plain}\r\n"), failed.as_str()),
            (String::new(), failed.as_str()),
        ],
    ];
    for_seeds(0..20, |seed| {
        for dialogue in &dialogues {
            let mut sim = Simulator::builder_for(&module)
                .plugin_config(r#"{"transcripts": {"sessions": "all"}}"#)
                .log_level(LogLevel::Trace)
                .segments(1..=30)
                .seed(seed)
                .build()?;
            let conn = tell(&mut sim, dialogue);
            let told = transcript(&sim, conn).ok().flatten();
            assert!(told.is_some_and(|told| told.contains(" secret}")));
            let logs: Vec<_> = sim.logs().iter().map(|line| line.text.clone()).collect();
            let summary = sim.summary(conn).map(|summary| &summary.properties);
            let values = summary.into_iter().flat_map(BTreeMap::values);
            let values = values.map(|value| String::from_utf8_lossy(value).into_owned());
            let written = values.chain(logs).collect::<String>();
            for secret in [PASSWORD, plain.as_str(), alone.as_str(), "BhdHRlcn"] {
                assert!(!written.contains(secret), "{secret} in {written}");
            }
        }
        Ok::<(), HostError>(())
    })?;
    Ok(())
}

#[test]
fn a_workers_memory_for_them_is_bounded() -> Result<()> {
    let module = FilterModule::from_file(&paths::wasm()?)?;
    let mut sim = Simulator::builder_for(&module)
        .plugin_config(
            r#"{"mode": "observe", "transcripts": {"sessions": "all", "max_worker_bytes": 65536}}"#,
        )
        .build()?;
    // All at once, each with up to a kilobyte to tell.
    let conns: Vec<ConnId> = (0..200)
        .map(|number| {
            let conn = sim.open(client(number), server());
            sim.server_write(conn, b"220 mx\r\n");
            sim.client_write(conn, b"EHLO a.test\r\n");
            sim.server_write(conn, b"250 mx\r\n");
            for turn in 0..number % 20 {
                let command = format!("MAIL FROM:<{turn}@{}.test>\r\n", "a".repeat(30));
                sim.client_write(conn, command.as_bytes());
                sim.server_write(conn, b"250 ok\r\n");
            }
            conn
        })
        .collect();
    for conn in &conns {
        sim.client_abort(*conn);
    }
    let count = |sim: &Simulator, how: &str| {
        let name = format!("portcullis_transcripts_total;how={how}");
        sim.metrics().get(&name).copied().unwrap_or_default()
    };
    let counts = ["whole", "shortened", "dropped"].map(|how| count(&sim, how));
    assert_eq!(counts.iter().sum::<u64>(), 200, "{counts:?}");
    ensure!(counts.iter().all(|count| *count > 0), "{counts:?}");
    let mut kept = 0;
    for conn in &conns {
        if let Some(text) = transcript(&sim, *conn)? {
            let is_told = text.contains("x-shortened: ") && text.contains("max_worker_bytes");
            kept += u64::from(is_told);
        }
    }
    assert_eq!(kept, counts[1], "each that was shortened says so");
    // What they had is free again.
    let conn = sim.open(client(1000), server());
    sim.server_write(conn, b"220 mx\r\n");
    sim.client_abort(conn);
    assert_eq!(count(&sim, "whole"), counts[0] + 1);
    Ok(())
}

const REFUSALS: &str = "portcullis_refusals";
const WITH_LISTS: &str = r#"{"dnsbl": {"sites": ["bl.example.test"], "reserved": "ask"}, "transcripts": {"sessions": "all"}}"#;
const QUIET: Duration = Duration::from_secs(1);

/// A guard that asks a list, which answers so about clients.
fn asking(
    module: &FilterModule,
    mut about: impl FnMut(&Question) -> Scripted + Send + 'static,
) -> Result<Simulator> {
    let answer = move |question: &Question| match test_point(question) {
        Some(reply) => reply.into(),
        None => about(question),
    };
    let (_, cluster) = scripted(answer);
    let mut sim = Simulator::builder_for(module)
        .plugin_config(WITH_LISTS)
        .cluster("dnsbl", cluster)
        .echo_cluster(REFUSALS)
        .build()?;
    sim.advance(QUIET);
    Ok(sim)
}

/// The lines of sessions that are over.
fn log(sim: &Simulator, conns: &[ConnId]) -> Result<String> {
    let lines = conns.iter().map(|conn| {
        let properties = &sim.summary(*conn).context("it is not over")?.properties;
        let text = |name: &str| String::from_utf8_lossy(&properties[name]).into_owned();
        let (record, member) = (text("portcullis"), text("portcullis_transcript"));
        Ok(format!("{{\"portcullis\":{record}{member}}}\n"))
    });
    lines.collect()
}

/// What becomes of them in a replay.
fn replayed(module: &FilterModule, log: &str, dns_clusters: &[&str]) -> Result<Vec<Replayed>> {
    let guard = Guard {
        module: module.clone(),
        policy: WITH_LISTS.into(),
        echo_clusters: vec![REFUSALS.to_owned()],
        dns_clusters: dns_clusters.iter().map(ToString::to_string).collect(),
    };
    let replay = Replay {
        transcripts: &read(log.as_bytes(), &Choice::default())?,
        guard: &guard,
        fields: &RecordFields::default(),
    };
    Ok(replay.play()?)
}

#[test]
fn sessions_of_clients_on_blacklists_replay_to_their_verdicts() -> Result<()> {
    let module = FilterModule::from_file(&paths::wasm()?)?;
    let mut sim = asking(&module, |question| {
        let listed = question.name.starts_with("7.0.18.198.");
        let reply = match listed {
            true => Reply::listed(&[[127, 0, 0, 4]], 300),
            false => Reply::unlisted(300),
        };
        reply.into()
    })?;
    let conns = [7, 8].map(|number| {
        let conn = sim.open(client(number), server());
        sim.advance(QUIET);
        sim.server_write(conn, b"220 mx.example.test ESMTP\r\n");
        sim.advance(QUIET);
        sim.client_abort(conn);
        conn
    });
    let log = log(&sim, &conns)?;
    let sessions = replayed(&module, &log, &["dnsbl"])?;
    let labels: Vec<&str> = sessions.iter().map(|at| at.recorded.as_str()).collect();
    ensure!(
        labels[0] == "refuse dnsbl" && labels[1].starts_with("admit"),
        "{labels:?}"
    );
    ensure!(sessions.iter().all(|at| at.is_same()), "{sessions:#?}");
    // It is their answers that do it.
    let unanswered = replayed(&module, &log, &[])?;
    ensure!(
        !unanswered[0].is_same() && unanswered[1].is_same(),
        "{unanswered:#?}"
    );
    Ok(())
}

#[test]
fn a_client_listed_while_its_greeting_is_held_replays_to_its_refusal() -> Result<()> {
    let module = FilterModule::from_file(&paths::wasm()?)?;
    let mut sim = asking(&module, |_| Scripted::Http(HttpAnswer::Never))?;
    let guessing = sim.open(client(7), server());
    // As long as greetings are held, and no longer.
    sim.advance(Duration::from_millis(400));
    sim.server_write(guessing, b"220 mx.example.test ESMTP\r\n");
    sim.client_write(guessing, b"EHLO a.test\r\n");
    sim.server_write(guessing, b"250 mx.example.test\r\n");
    sim.client_write(guessing, b"MAIL FROM:<>\r\n");
    sim.server_write(guessing, b"250 2.1.0 Ok\r\n");
    let held = sim.open(client(7), server());
    for guess in 0..5 {
        let guess = format!("RCPT TO:<guess{guess}@example.test>\r\n");
        sim.client_write(guessing, guess.as_bytes());
        sim.advance(Duration::from_millis(10));
        sim.server_write(guessing, b"550 5.1.1 No such user\r\n");
    }
    sim.advance(Duration::from_millis(100));
    for conn in [guessing, held] {
        sim.client_abort(conn);
    }
    let log = log(&sim, &[guessing, held])?;
    for log in [log.as_str(), log.lines().last().context("no line")?] {
        let sessions = replayed(&module, log, &["dnsbl"])?;
        ensure!(
            sessions
                .last()
                .is_some_and(|held| held.recorded == "refuse ledger.listing"),
            "{sessions:#?}"
        );
        ensure!(sessions.iter().all(Replayed::is_same), "{sessions:#?}");
    }
    Ok(())
}
