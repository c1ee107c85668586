//! One performance: a fresh mail server, with or without the guard, the bots and the senders.

use std::{
    fs, io,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{
    bots::{self, Bot, End},
    honest,
    options::Options,
    wire::Server,
};
use crate::{
    Error,
    envoy::{ClientTls, EnvoyConfig, Guard},
    host_sim::{Mta, MtaStats},
    launch::{Beside, Blocklists},
    paths,
    stand::starttls,
    tls::TlsClient,
};

/// What one performance brought.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What the mail server counted.
    pub server: MtaStats,
    /// Messages of honest senders it took.
    pub honest: u32,
    /// What went wrong for honest senders.
    pub failures: Vec<String>,
    /// Bots whose every session was cut.
    pub bots_cut: usize,
    /// Bots in all.
    pub bots: usize,
    /// Sessions of bots that read a 421 and then the end of the stream.
    pub sessions_cut: usize,
    /// Sessions of bots that met a 421 at the door.
    pub sessions_refused: usize,
    /// Sessions of bots that ended without a word, after another one of the bot was cut.
    pub sessions_cut_silently: usize,
    /// Sessions of bots that heard more after their 421.
    pub sessions_cut_badly: usize,
    /// Sessions of bots in all.
    pub sessions: usize,
    /// Answered guesses of each session, in ascending order.
    pub guesses: Vec<u32>,
    /// How long it took.
    pub took: Duration,
}

/// The mail server alone.
pub(super) async fn without_guard(options: &Options) -> Result<Outcome> {
    let mut mta = Mta::answering(options.reply.text()).start()?;
    let server = Server {
        address: mta.address(),
        tls: None,
    };
    let played = play(options, "without guard", &server).await?;
    Ok(played.outcome(mta.stats()?))
}

/// The same server behind Envoy and the filter with its default policy, or that with blacklists.
pub(super) async fn with_guard(options: &Options, blocklists: &Blocklists) -> Result<Outcome> {
    let mut mta = Mta::answering(options.reply.text()).start()?;
    let mut policy = match options.dnsbl {
        Beside::Off => json!({}),
        Beside::Example | Beside::At(_) => asking()?,
    };
    if let (Some(_), Some(policy)) = (&options.transcripts, policy.as_object_mut()) {
        policy.insert("transcripts".to_owned(), json!({ "sessions": "all" }));
    }
    let (tls, client) = match options.starttls {
        true => (starttls()?, Some(TlsClient::new())),
        false => (ClientTls::None, None),
    };
    let mut config = EnvoyConfig::before(mta.address(), Guard::with_policy(policy)?)
        .client_tls(tls)
        .workers(options.workers.into())
        .dnsbl(blocklists.address());
    if let Some(path) = &options.transcripts {
        config = config.access_log(path.clone());
    }
    let envoy = config.start()?;
    let server = Server {
        address: envoy.address(),
        tls: client,
    };
    let played = play(options, "with guard", &server).await?;
    if let Some(file) = &options.metrics {
        let page = envoy.admin().get("/stats/prometheus")?;
        fs::write(file, page).map_err(Error::file(file))?;
    }
    drop(envoy);
    Ok(played.outcome(mta.stats()?))
}

fn asking() -> Result<Value> {
    let path = paths::repository().join("envoy/policies/dnsbl.json");
    let text = fs::read_to_string(&path).map_err(Error::file(&path))?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// What was seen from outside the server.
#[derive(Debug)]
struct Played {
    bots: Vec<Bot>,
    honest: u32,
    failures: Vec<String>,
    took: Duration,
}

async fn play(options: &Options, title: &'static str, server: &Server) -> Result<Played> {
    let progress = progress_bar(options.guesses(), title)?;
    let start = Instant::now();
    let attack = bots::attack(options, server, &progress);
    let mail = honest::deliver(options.honest, server, &progress);
    let (bots, (honest, failures)) = both(attack, mail).await.context(title)?;
    let took = start.elapsed();
    progress.finish();
    Ok(Played {
        bots,
        honest,
        failures,
        took,
    })
}

async fn both<A, B>(
    a: impl Future<Output = io::Result<A>>,
    b: impl Future<Output = io::Result<B>>,
) -> io::Result<(A, B)> {
    tokio::try_join!(a, b)
}

fn progress_bar(guesses: u64, title: &'static str) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template(
        "{prefix:14} [{bar:40}] {percent:>3} % of {len} guesses, {msg}, {elapsed}",
    )?;
    Ok(ProgressBar::new(guesses)
        .with_style(style)
        .with_prefix(title)
        .with_message("honest 0"))
}

impl Played {
    fn outcome(self, server: MtaStats) -> Outcome {
        let sessions = || self.bots.iter().flat_map(|bot| &bot.sessions);
        let ended = |end| sessions().filter(|session| session.end == end).count();
        let mut guesses: Vec<u32> = sessions().map(|session| session.guesses).collect();
        guesses.sort_unstable();
        Outcome {
            server,
            bots_cut: self.bots.iter().filter(|bot| bot.is_cut()).count(),
            bots: self.bots.len(),
            sessions_cut: ended(End::Cut),
            sessions_refused: ended(End::Refused),
            sessions_cut_silently: ended(End::CutSilently),
            sessions_cut_badly: ended(End::CutBadly),
            sessions: guesses.len(),
            guesses,
            honest: self.honest,
            failures: self.failures,
            took: self.took,
        }
    }
}
