//! When the counters tell what they count.

use std::time::Duration;

use anyhow::{Context, Result};
use portcullis_host_sim::{ConnId, FilterModule, Simulator};
use portcullis_tests::paths;
use serde_json::{Value, json};

const COUNTED: [&str; 3] = [
    "portcullis_sessions_total",
    "portcullis_sessions_open",
    "portcullis_commands_total;verb=EHLO",
];

struct Stage(Simulator);

impl Stage {
    fn new(policy: &Value) -> Result<Self> {
        let module = FilterModule::from_file(&paths::wasm()?)?;
        let sim = Simulator::builder_for(&module).plugin_config(policy.to_string());
        Ok(Self(sim.build()?))
    }

    fn open(&mut self, client: &str) -> Result<ConnId> {
        let conn = self.0.open(client.parse()?, "192.0.2.25:25".parse()?);
        self.0.server_write(conn, b"220 mx.example.test ESMTP\r\n");
        self.0.client_write(conn, b"EHLO client.example.test\r\n");
        Ok(conn)
    }

    fn end(&mut self, conn: ConnId) {
        self.0.server_half_close(conn);
        self.0.client_half_close(conn);
    }

    fn counted(&self) -> Result<[u64; 3]> {
        let metrics = self.0.metrics();
        let mut counted = [0; 3];
        for (name, count) in COUNTED.iter().zip(&mut counted) {
            *count = *metrics
                .get(*name)
                .with_context(|| format!("{name}: {metrics:#?}"))?;
        }
        Ok(counted)
    }
}

#[test]
fn what_every_session_does_is_told_once_a_second_and_when_nobody_is_left() -> Result<()> {
    let mut stage = Stage::new(&json!({}))?;
    let one = stage.open("203.0.113.7:40001")?;
    let other = stage.open("203.0.113.8:40001")?;
    assert_eq!(stage.counted()?, [0, 0, 0]);
    stage.0.advance(Duration::from_secs(1));
    assert_eq!(stage.counted()?, [2, 2, 2]);
    stage.end(one);
    assert_eq!(stage.counted()?, [2, 2, 2]);
    let third = stage.open("203.0.113.9:40001")?;
    stage.end(other);
    stage.end(third);
    assert_eq!(stage.counted()?, [3, 0, 3]);
    Ok(())
}

#[test]
fn a_guard_that_has_nothing_to_do_every_second_tells_it_at_once() -> Result<()> {
    let mut stage = Stage::new(&json!({ "ledger": { "slots": 0 } }))?;
    let one = stage.open("203.0.113.7:40001")?;
    assert_eq!(stage.counted()?, [1, 1, 1]);
    let other = stage.open("203.0.113.8:40001")?;
    assert_eq!(stage.counted()?, [2, 2, 2]);
    stage.end(one);
    assert_eq!(stage.counted()?, [2, 1, 2]);
    stage.end(other);
    assert_eq!(stage.counted()?, [2, 0, 2]);
    Ok(())
}
