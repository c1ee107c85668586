//! Dialogues that nobody thought of: whatever both sides say, in whatever pieces, a filter that
//! only observes passes it on, and none makes it trap.

use anyhow::Result;
use portcullis_host_sim::{
    FilterModule,
    explore::{Dialogues, for_dialogues},
    scenario::{PlayOptions, Scenario, play},
};
use portcullis_tests::paths;

/// What either side may say; much of it where nobody waits for it.
const CLIENT: [&str; 16] = [
    "NOOP\r\n",
    "EHLO client.example\r\n",
    "MAIL FROM:<a@b.test>\r\n",
    "RCPT TO:<alice@example.test>\r\n",
    "RCPT TO:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nRCPT TO:<c@example.test>\r\n",
    "DATA\r\n",
    "Subject: x\r\n\r\nHello\r\n.\r\n",
    ".\r\n",
    "BDAT 6 LAST\r\nRSET\r\n",
    "AUTH LOGIN\r\n",
    "RSET\r\n",
    "VRFY info\r\n",
    "STARTTLS\r\n",
    "QUIT\r\n",
    "\n.\n",
    "\0\u{ff}\r",
];
const SERVER: [&str; 12] = [
    "250 ok\r\n",
    "220 mx.example.test ESMTP\r\n",
    "250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
    "550 5.1.1 User unknown\r\n",
    "451 No such user\r\n",
    "550 5.1.1 a\r\n550 5.1.1 b\r\n250 2.1.5 c\r\n",
    "354 go on\r\n",
    "334 VXNlcm5hbWU6\r\n",
    "235 2.7.0 ok\r\n",
    "221 bye\r\n",
    "421 4.3.2 not now\r\n",
    "no reply\n",
];
/// Each a dialogue of up to forty steps.
const SEEDS: u64 = 400;

fn dialogues(like: &str) -> Result<Dialogues> {
    let dialogues = Dialogues::new(CLIENT, SERVER).steps(40);
    Ok(dialogues.like(like.parse()?))
}

/// Plays dialogues, cut and delayed by their seed.
fn all_pass(dialogues: &Dialogues) -> Result<()> {
    let filter = FilterModule::from_file(&paths::wasm()?)?;
    for_dialogues(0..SEEDS, dialogues, |scenario: &Scenario, seed| {
        let options = PlayOptions {
            seed: Some(seed),
            ..PlayOptions::default()
        };
        let report = play(scenario, &filter, &options)?;
        let failure = report.failure.map(|failure| anyhow::anyhow!("{failure}"));
        failure.map_or(Ok(()), Err)
    })?;
    Ok(())
}

#[test]
fn whatever_is_said_passes_an_observer() -> Result<()> {
    let observed = dialogues("policy: {\"mode\": \"observe\"}\n?unchanged\n")?;
    // It may hold what is pipelined until the server replies.
    all_pass(&observed.without_resets())
}

#[test]
fn whatever_is_said_traps_no_filter() -> Result<()> {
    all_pass(&dialogues(
        "policy: {\"mode\": \"enforce\", \"tarpit\": {\"delay_ms\": 50}}\n",
    )?)
}
