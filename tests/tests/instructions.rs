//! What the filter costs in wasm instructions and in memory. Instructions that are counted do not
//! depend on the machine or on what else it does, so a little more is a little more.
//!
//! `make instructions` shows the figures. Who makes one smaller lowers its limit.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use portcullis_host_sim::{ConnId, FilterModule, Simulator};
use portcullis_tests::paths;
use serde_json::{Value, json};

/// What is measured, and how much of it there may be.
const LIMITS: [(&str, u64); 11] = [
    ("instructions of a message on a kept connection", 36_200),
    ("instructions of one whose commands are pipelined", 37_400),
    ("instructions of a session with one message", 96_800),
    ("instructions of one that is written down", 165_000),
    ("instructions of one that might have been", 118_000),
    ("instructions of 1 MiB of DATA", 801_000),
    (
        "instructions of 1 MiB of DATA with a dot on every line",
        4_990_000,
    ),
    ("instructions of 1 MiB of BDAT", 19_600),
    ("instructions of 1 MiB of an opaque session", 18_700),
    ("instructions of a second with 2000 idle sessions", 123_000),
    ("octets of an idle session", 1_024),
];

/// Octets that Envoy reads at once.
const SEGMENT: usize = 16 * 1024;
const MEBIBYTE: usize = 1024 * 1024;

/// The filter as it is mostly used: it enforces, and remembers clients.
struct Stage {
    sim: Simulator,
    clients: u16,
}

impl Stage {
    fn new() -> Result<Self> {
        Self::transcribing(&json!({}))
    }

    fn transcribing(transcripts: &Value) -> Result<Self> {
        let module = FilterModule::metered_from_file(&paths::wasm()?)?;
        let policy = json!({ "sessions": { "max_per_client": null }, "transcripts": transcripts });
        let sim = Simulator::builder_for(&module).plugin_config(policy.to_string());
        Ok(Self {
            sim: sim.build()?,
            clients: 0,
        })
    }

    /// Instructions so far.
    fn count(&self) -> Result<u64> {
        self.sim.instructions().context("nothing was counted")
    }

    /// Says a line of each side.
    fn exchange(&mut self, conn: ConnId, client: &[u8], server: &[u8]) {
        self.sim.client_write(conn, client);
        self.sim.server_write(conn, server);
    }

    /// A new client that has been greeted.
    fn open(&mut self) -> Result<ConnId> {
        self.clients += 1;
        let [high, low] = self.clients.to_be_bytes();
        let from: SocketAddr = ([203, 0, high, low], 40_001).into();
        let conn = self.sim.open(from, "192.0.2.25:25".parse()?);
        self.sim
            .server_write(conn, b"220 mx.example.test ESMTP\r\n");
        self.exchange(
            conn,
            b"EHLO client.example.test\r\n",
            b"250-mx.example.test\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-STARTTLS\r\n\
              250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 CHUNKING\r\n",
        );
        Ok(conn)
    }

    fn begin_message(&mut self, conn: ConnId) {
        self.exchange(
            conn,
            b"MAIL FROM:<sender@client.example.test> SIZE=4096\r\n",
            OK,
        );
        self.exchange(conn, b"RCPT TO:<alice@example.test>\r\n", OK);
        self.exchange(
            conn,
            b"DATA\r\n",
            b"354 End data with <CR><LF>.<CR><LF>\r\n",
        );
    }

    fn message(&mut self, conn: ConnId) {
        self.begin_message(conn);
        self.exchange(conn, &body(4096), b"250 2.0.0 Ok: queued as 4Xk2Q1\r\n");
    }

    fn quit(&mut self, conn: ConnId) {
        self.exchange(conn, b"QUIT\r\n", b"221 2.0.0 Bye\r\n");
        self.sim.server_half_close(conn);
        self.sim.client_half_close(conn);
    }

    /// Everything the server has read must be what was sent.
    fn arrived(&mut self, conn: ConnId, octets: usize) -> Result<()> {
        let arrived = self.sim.take_server(conn).bytes.len();
        ensure!(arrived == octets, "{arrived} octets arrived, not {octets}");
        Ok(())
    }
}

const OK: &[u8] = b"250 2.1.0 Ok\r\n";

fn lines(line: &[u8], octets: usize) -> Vec<u8> {
    line.iter().copied().cycle().take(octets).collect()
}

/// A message of about so many octets, in lines of 78 as base64 has them.
fn body(octets: usize) -> Vec<u8> {
    let line = [&[b'a'; 76][..], b"\r\n"].concat();
    let mut body = lines(&line, octets / line.len() * line.len());
    body.extend_from_slice(b".\r\n");
    body
}

/// The mean of some rounds, after as many that do not count.
fn mean(stage: &mut Stage, mut round: impl FnMut(&mut Stage) -> Result<()>) -> Result<u64> {
    const ROUNDS: u64 = 64;
    for _ in 0..ROUNDS {
        round(stage)?;
    }
    let before = stage.count()?;
    for _ in 0..ROUNDS {
        round(stage)?;
    }
    Ok((stage.count()? - before) / ROUNDS)
}

fn kept(stage: &mut Stage) -> Result<u64> {
    let conn = stage.open()?;
    mean(stage, |stage| {
        stage.message(conn);
        Ok(())
    })
}

fn pipelined(stage: &mut Stage) -> Result<u64> {
    let conn = stage.open()?;
    mean(stage, |stage| {
        stage.exchange(
            conn,
            b"MAIL FROM:<sender@client.example.test>\r\nRCPT TO:<alice@example.test>\r\n\
              RCPT TO:<bob@example.test>\r\nDATA\r\n",
            b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n354 Go on\r\n",
        );
        stage.exchange(conn, &body(4096), b"250 2.0.0 Ok: queued as 4Xk2Q1\r\n");
        Ok(())
    })
}

fn session(stage: &mut Stage) -> Result<u64> {
    mean(stage, |stage| {
        let conn = stage.open()?;
        stage.message(conn);
        stage.quit(conn);
        Ok(())
    })
}

/// A MiB of these bytes, on their way to the server.
fn passed(stage: &mut Stage, conn: ConnId, bytes: &[u8]) -> Result<u64> {
    stage.sim.take_server(conn);
    let before = stage.count()?;
    for segment in bytes.chunks(SEGMENT) {
        stage.sim.client_write(conn, segment);
    }
    let count = stage.count()? - before;
    stage.arrived(conn, bytes.len())?;
    Ok(count)
}

fn data(stage: &mut Stage, line: &[u8]) -> Result<u64> {
    let conn = stage.open()?;
    stage.begin_message(conn);
    passed(stage, conn, &lines(line, MEBIBYTE))
}

fn bdat(stage: &mut Stage) -> Result<u64> {
    let conn = stage.open()?;
    stage.exchange(conn, b"MAIL FROM:<a@client.example.test>\r\n", OK);
    stage.exchange(conn, b"RCPT TO:<alice@example.test>\r\n", OK);
    stage
        .sim
        .client_write(conn, format!("BDAT {MEBIBYTE} LAST\r\n").as_bytes());
    passed(stage, conn, &lines(b"any octet\n.\n", MEBIBYTE))
}

fn opaque(stage: &mut Stage) -> Result<u64> {
    let conn = stage.open()?;
    stage.exchange(conn, b"STARTTLS\r\n", b"220 2.0.0 Ready\r\n");
    passed(stage, conn, &lines(b"\x17\x03\x03", MEBIBYTE))
}

fn idle(stage: &mut Stage) -> Result<(u64, u64)> {
    const SESSIONS: usize = 2000;
    // What a worker needs besides its sessions is there by then.
    for _ in 0..SESSIONS {
        stage.open()?;
    }
    let memory = stage.sim.wasm_memory_bytes();
    for _ in 0..4 * SESSIONS {
        stage.open()?;
    }
    let memory = stage.sim.wasm_memory_bytes() - memory;
    let before = stage.count()?;
    stage.sim.advance(Duration::from_secs(10));
    let a_second = (stage.count()? - before) / 10;
    Ok((a_second / 5, (memory / (4 * SESSIONS)) as u64))
}

fn figures() -> Result<Vec<u64>> {
    let mut stage = Stage::new()?;
    let mut figures = vec![
        kept(&mut stage)?,
        pipelined(&mut stage)?,
        session(&mut stage)?,
        session(&mut Stage::transcribing(&json!({ "sessions": "all" }))?)?,
        session(&mut Stage::transcribing(
            &json!({ "sessions": "chosen", "after_rejections": 9 }),
        )?)?,
        data(&mut stage, &[&[b'a'; 76][..], b"\r\n"].concat())?,
        data(&mut stage, b".. dots, and short lines\r\n")?,
        bdat(&mut stage)?,
        opaque(&mut stage)?,
    ];
    let (a_second, octets) = idle(&mut Stage::new()?)?;
    figures.extend([a_second, octets]);
    Ok(figures)
}

#[test]
fn the_filter_costs_no_more_than_it_did() -> Result<()> {
    let figures = figures()?;
    let mut beyond = BTreeMap::new();
    for ((what, limit), figure) in LIMITS.iter().zip(&figures) {
        println!("{figure:>12} {what} (limit {limit})");
        if figure > limit {
            beyond.insert(what, (figure, limit));
        }
    }
    ensure!(figures.len() == LIMITS.len());
    ensure!(beyond.is_empty(), "more than their limits: {beyond:#?}");
    Ok(())
}
