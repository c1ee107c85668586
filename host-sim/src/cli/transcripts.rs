//! `host-sim transcripts`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};
use ipnet::IpNet;
use serde_json::json;

use super::output::{Format, print_json, show, table};
use super::record::Record;
use crate::attack::Guard;
use crate::clock::Timestamp;
use crate::module::FilterModule;
use crate::report::grouped;
use crate::transcripts::{Choice, Replay, Replayed, Transcript, read};

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const QUIET: Style = AnsiColor::BrightBlack.on_default();

/// The property in which a filter's record is, unless another one is named.
const PROPERTY: &str = "portcullis";

/// Sessions that a filter wrote down in an access log: list them, print them, write
/// them out as scenarios, or replay them all together and compare the verdicts.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").args(["print", "out", "replay"]))]
pub(super) struct Transcripts {
    /// The access log; `-` is the standard input.
    #[arg(value_name = "LOG")]
    log: PathBuf,
    #[command(flatten)]
    chosen: Chosen,
    /// Print the dialogues.
    #[arg(long)]
    print: bool,
    /// Write a scenario for each to this directory; made if it is not there. Nothing
    /// in it is replaced.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replay them all, in one simulator, before this filter.
    #[arg(long, value_name = "WASM")]
    replay: Option<PathBuf>,
    /// The filter's configuration for the replay: the one that it had.
    #[arg(long, value_name = "FILE", requires = "replay")]
    policy: Option<PathBuf>,
    /// A cluster that leads a connection routed to it back to itself, its PROXY
    /// line first; may be given more than once.
    #[arg(long, value_name = "NAME", requires = "replay")]
    echo_cluster: Vec<String>,
    /// A cluster that answers DNS-over-HTTPS for blacklists, which have the clients
    /// that they had then; may be given more than once.
    #[arg(long, value_name = "NAME", default_value = "dnsbl")]
    dns_cluster: Vec<String>,
    #[command(flatten)]
    record: Record,
    #[command(flatten)]
    format: Format,
}

/// Which sessions are meant.
#[derive(Debug, Args)]
struct Chosen {
    /// Only clients in this network; may be given more than once.
    #[arg(long, value_name = "ADDRESS|NETWORK", value_parser = network)]
    client: Vec<IpNet>,
    /// Only those with this verdict.
    #[arg(long, value_name = "NAME")]
    verdict: Option<String>,
    /// Only those whose verdict is by this rule.
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Only those that began then or later (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only those that began before.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse().map(|address: std::net::IpAddr| address.into());
    text.parse()
        .or_else(|_| address())
        .map_err(|_| "expected an address or a network, as 203.0.113.0/24".to_owned())
}

fn moment(text: &str) -> Result<Timestamp, String> {
    let parsed = humantime::parse_rfc3339_weak(text).ok();
    let since_epoch = parsed.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    since_epoch
        .map(Timestamp::from_unix)
        .ok_or_else(|| "expected a time as 2026-01-31T23:59:59Z".to_owned())
}

impl Transcripts {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let transcripts = self.read()?;
        match (&self.out, &self.replay) {
            (Some(out), _) => self.write(out, &transcripts)?,
            (_, Some(wasm)) => return self.play(wasm, &transcripts),
            _ if self.print => show(&dialogues(&transcripts))?,
            _ if self.format.json => {
                print_json(&json!(transcripts.iter().map(summary).collect::<Vec<_>>()))?
            }
            _ => show(&list(&transcripts))?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn read(&self) -> anyhow::Result<Vec<Transcript>> {
        let name = self.log.display();
        let log: Box<dyn BufRead> = match self.log.as_os_str() == "-" {
            true => Box::new(io::stdin().lock()),
            false => {
                let file = File::open(&self.log);
                Box::new(BufReader::new(
                    file.with_context(|| format!("cannot read {name}"))?,
                ))
            }
        };
        let choice = Choice {
            clients: self.chosen.client.clone(),
            verdict: self.chosen.verdict.clone(),
            rule: self.chosen.rule.clone(),
            since: self.chosen.since,
            until: self.chosen.until,
        };
        let transcripts = read(log, &choice).with_context(|| name.to_string())?;
        if transcripts.is_empty() {
            bail!(
                "{name}: no such session in it; the policy's `transcripts` has sessions written down"
            );
        }
        Ok(transcripts)
    }

    fn write(&self, out: &Path, transcripts: &[Transcript]) -> anyhow::Result<()> {
        fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        let fields = self.record.fields();
        let property = fields.property.as_deref().unwrap_or(PROPERTY);
        for transcript in transcripts {
            let path = out.join(format!("session-{:06}.txt", transcript.line));
            let cannot = || format!("cannot write {}; give another --out", path.display());
            let mut file = File::create_new(&path).with_context(cannot)?;
            let text = transcript.checked(property, &fields.fields).to_string();
            file.write_all(text.as_bytes()).with_context(cannot)?;
            println!("{}", path.display());
        }
        Ok(())
    }

    fn play(&self, wasm: &Path, transcripts: &[Transcript]) -> anyhow::Result<ExitCode> {
        let policy = self.policy.as_ref().map(|path| {
            fs::read(path).with_context(|| format!("cannot read the policy {}", path.display()))
        });
        let guard = Guard {
            module: FilterModule::from_file(wasm)?,
            policy: policy.transpose()?.unwrap_or_else(|| b"{}".to_vec()),
            echo_clusters: self.echo_cluster.clone(),
            dns_clusters: self.dns_cluster.clone(),
        };
        let fields = self.record.fields();
        let replay = Replay {
            transcripts,
            guard: &guard,
            fields: &fields,
        };
        let replayed = replay.play()?;
        let same = replayed.iter().filter(|session| session.is_same()).count();
        let verdicts = replayed.iter().filter(|session| session.is_same_verdict());
        let verdicts = verdicts.count();
        if self.format.json {
            print_json(&json!({
                "sessions": replayed.len(),
                "same": same,
                "same_verdict": verdicts,
                "differences": replayed.iter().filter(|at| !at.is_same()).collect::<Vec<_>>(),
            }))?;
        } else {
            show(&differences(&replayed, same, verdicts))?;
        }
        Ok(match verdicts == replayed.len() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}

fn summary(transcript: &Transcript) -> serde_json::Value {
    let scenario = &transcript.scenario;
    json!({
        "line": transcript.line,
        "started": started(transcript),
        "client": scenario.client,
        "verdict": transcript.says("verdict"),
        "rule": transcript.says("rule"),
        "shortened": transcript.note("x-shortened"),
        "record": transcript.record,
    })
}

fn started(transcript: &Transcript) -> Option<String> {
    let started = transcript.scenario.record.started?;
    let since_epoch = std::time::Duration::from_nanos(started.as_unix_nanos());
    let at = SystemTime::UNIX_EPOCH + since_epoch;
    Some(humantime::format_rfc3339_millis(at).to_string())
}

fn list(transcripts: &[Transcript]) -> String {
    let mut rows = table(&["line", "started", "client", "verdict", "rule"], 5);
    for transcript in transcripts {
        rows.add_row([
            transcript.line.to_string(),
            started(transcript).unwrap_or_default(),
            transcript.scenario.client.to_string(),
            transcript.says("verdict").unwrap_or("—").to_owned(),
            transcript.says("rule").unwrap_or_default().to_owned(),
        ]);
    }
    format!("{rows}\n{} sessions\n", grouped(transcripts.len() as u64))
}

/// The dialogues as they were written, with arrows for who speaks to whom.
fn dialogues(transcripts: &[Transcript]) -> String {
    let mut text = String::new();
    for transcript in transcripts {
        let verdict = transcript.says("verdict").unwrap_or("no record");
        let rule = transcript.says("rule").unwrap_or_default();
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "== line {}  {}  {}  {verdict} {rule}",
            transcript.line,
            started(transcript).unwrap_or_default(),
            transcript.scenario.client,
        );
        let told = transcript.text.split_once("\n\n");
        for line in told.map_or("", |(_, told)| told).lines() {
            dialogue_line(&mut text, line);
        }
        if let Some(value) = transcript.note("x-shortened") {
            let _ = writeln!(text, "  not told: {value}");
        }
        text.push('\n');
    }
    text
}

fn dialogue_line(text: &mut String, line: &str) {
    let (note, line) = match line.strip_prefix("# ") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let words = line.split_once(' ').unwrap_or((line, ""));
    let (time, (marker, said)) = match words.0.starts_with(|c: char| c.is_ascii_digit()) {
        true => (words.0, words.1.split_once(' ').unwrap_or((words.1, ""))),
        false => ("", words),
    };
    // To the millisecond.
    let time = time.get(..time.len().saturating_sub(3)).unwrap_or_default();
    let arrow = match (marker, note) {
        ("C<", true) => "client ← guard ",
        ("C>" | "C+", _) => "client →       ",
        ("S>" | "S+", _) => "       ← server",
        ("C|", _) => "client ends",
        ("S|", _) => "the server ends",
        ("W=", _) => "known to all workers",
        ("W@", _) => "told by a worker",
        _ => return,
    };
    let _ = match marker.starts_with('W') {
        true => writeln!(text, "{QUIET}{time:>10}  {arrow}: {said}{QUIET:#}"),
        false => writeln!(text, "{time:>10}  {arrow}  {said}"),
    };
}

fn differences(replayed: &[Replayed], same: usize, verdicts: usize) -> String {
    let mut text = String::new();
    let mut rows = table(&["line", "client", "recorded", "replayed"], 4);
    let mut any = false;
    for at in replayed.iter().filter(|at| !at.is_same()) {
        any = true;
        let line = at.line.to_string();
        rows.add_row([&line, &at.client, &at.recorded, &at.replayed]);
    }
    if any {
        let _ = writeln!(text, "{rows}");
    }
    let style = match verdicts == replayed.len() {
        true => GOOD,
        false => BAD,
    };
    let _ = writeln!(
        text,
        "{style}{} of {} sessions have the same verdict{style:#}, {} the same record fields",
        grouped(verdicts as u64),
        grouped(replayed.len() as u64),
        grouped(same as u64),
    );
    text
}
