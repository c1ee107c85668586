//! A thousand closes on real Envoy: every client reads its last word, whole, and nothing after it.

use std::{net::SocketAddr, thread};

use anyhow::{Result, anyhow, ensure};
use portcullis_tests::{
    postfix::Service,
    smtp::Client,
    stand::{Stand, rcpt, rcpts},
};
use serde_json::json;

const THREADS: usize = 8;
const CLOSES_EACH: usize = 125;

/// Ways to be cut; each must hear the last word.
type Behaviour = fn(&mut Client) -> Result<()>;

const BEHAVIOURS: [Behaviour; 4] = [one_by_one, all_at_once, talks_on, reads_late];

fn one_by_one(client: &mut Client) -> Result<()> {
    for name in 0..4 {
        ensure!(client.command(&rcpt(&format!("guess{name}")))?.code == 550);
    }
    Ok(client.send(format!("{}\r\n", rcpt("guess4")))?)
}

fn all_at_once(client: &mut Client) -> Result<()> {
    client.send(rcpts("guess", 40))?;
    ensure!(client.codes(4)? == [550; 4]);
    Ok(())
}

/// Goes on writing after the guess that ends it. The write may fail once the connection is gone.
fn talks_on(client: &mut Client) -> Result<()> {
    one_by_one(client)?;
    for _ in 0..20 {
        if client.send("NOOP\r\n").is_err() {
            break;
        }
    }
    Ok(())
}

/// Reads nothing until everything, its own end included, has been sent.
fn reads_late(client: &mut Client) -> Result<()> {
    client.send(rcpts("guess", 10))?;
    client.finish_sending()?;
    ensure!(client.codes(4)? == [550; 4]);
    Ok(())
}

/// Whether the client heard the last word and then the end.
fn is_cut_properly(guard: SocketAddr, behave: Behaviour) -> Result<()> {
    let mut client = Client::greeted(guard)?;
    client.command("EHLO bot.example.org")?;
    client.command("MAIL FROM:<offer@example.org>")?;
    behave(&mut client)?;
    let last = client.reply()?;
    ensure!(
        last.starts_with("421 4.7.0 ") && last.lines.len() == 1,
        "{last:?}"
    );
    let rest = client.read_to_end()?;
    ensure!(rest.is_empty(), "after the last word: {rest}");
    Ok(())
}

#[test]
fn of_1000_closes_no_last_word_is_lost() -> Result<()> {
    // So many guesses are an attack, which would tighten the limits.
    let policy = json!({ "attack": { "detect": "off" } });
    let stand = Stand::with_policy(Service::Unknown550, policy)?;
    let guard = stand.envoy.address();
    let lost = thread::scope(|scope| -> Result<Vec<String>> {
        let closing = |thread: usize| {
            let one = move |number: usize| {
                let behave = BEHAVIOURS[(thread + number) % BEHAVIOURS.len()];
                is_cut_properly(guard, behave)
                    .err()
                    .map(|error| format!("{error:#}"))
            };
            scope.spawn(move || (0..CLOSES_EACH).filter_map(one).collect::<Vec<_>>())
        };
        let threads: Vec<_> = (0..THREADS).map(closing).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        let joined = joined
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| anyhow!("a client panicked"))?;
        Ok(joined.concat())
    })?;
    ensure!(
        lost.is_empty(),
        "{} of 1000 lost: {:#?}",
        lost.len(),
        lost.first()
    );
    assert_eq!(stand.envoy.traps()?, Vec::<String>::new());
    let log = stand.envoy.wait_for_sessions(THREADS * CLOSES_EACH)?;
    ensure!(
        log.iter()
            .all(|line| line["portcullis"]["verdict"] == "close")
    );
    Ok(())
}
