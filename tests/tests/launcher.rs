//! The launcher behind `make run`, as a user sees it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use portcullis_tests::{
    Error,
    deadline::{PATIENCE, Seen, wait_for},
    process::Process,
    smtp::Client,
    stand::{rcpt, rcpts, under_tls},
    status_page::state,
};
use tempfile::TempDir;

/// The policy's file in the launcher's directory.
const POLICY: &str = "policy.json";

/// The launcher, running.
struct Launcher {
    process: Process,
    directory: TempDir,
}

impl Launcher {
    /// With these arguments, on free ports and with the default policy where they say nothing.
    fn start(arguments: &[&str]) -> Result<Self> {
        let directory = TempDir::new()?;
        fs::write(directory.path().join(POLICY), "{}")?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis-run"));
        let usual = [
            ("--listen", "127.0.0.1:0"),
            ("--admin", "127.0.0.1:0"),
            ("--policy", POLICY),
        ];
        for (flag, value) in usual
            .into_iter()
            .filter(|(flag, _)| !arguments.contains(flag))
        {
            command.args([flag, value]);
        }
        command
            .args(arguments)
            .current_dir(directory.path())
            // What a killed launcher leaves behind is removed with it.
            .env("TMPDIR", directory.path());
        let log = directory.path().join("launcher.log");
        Ok(Self {
            process: Process::start("portcullis-run", command, &log)?,
            directory,
        })
    }

    /// Waits until it prints a line with this in it, and returns the line.
    fn says(&mut self, wanted: &str) -> Result<String, Error> {
        let process = &mut self.process;
        wait_for(&format!("{wanted:?} from the launcher"), PATIENCE, || {
            let log = process.log()?;
            match log.lines().find(|line| line.contains(wanted)) {
                Some(line) => Ok(Seen::Done(line.to_owned())),
                None => process.still_runs().map(|()| Seen::NotYet(log)),
            }
        })
    }

    fn address(&mut self) -> Result<SocketAddr> {
        let line = self.says("listening on ")?;
        Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)
    }

    fn write_policy(&self, text: &str) -> Result<()> {
        Ok(fs::write(self.directory.path().join(POLICY), text)?)
    }

    /// The processes it has started, by id.
    fn children(&self) -> Result<Vec<u32>> {
        let id = self.process.id();
        let text = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        text.split_whitespace()
            .map(|id| id.parse().context("a process id"))
            .collect()
    }
}

/// Whether none of these processes runs any more.
fn all_gone(ids: &[u32]) -> Result<(), Error> {
    wait_for(
        "the end of the launcher's processes",
        Duration::from_secs(10),
        || {
            let left: Vec<&u32> = ids
                .iter()
                .filter(|id| Path::new(&format!("/proc/{id}")).exists())
                .collect();
            Ok(if left.is_empty() {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{left:?}"))
            })
        },
    )
}

/// Guesses until cut, and returns how many guesses were answered.
fn cut_after(guard: SocketAddr) -> Result<usize> {
    let mut client = Client::greeted(guard)?;
    client.command("EHLO bot.example.org")?;
    let burst = rcpts("guess", 20);
    client.send(format!("MAIL FROM:<offer@example.org>\r\n{burst}QUIT\r\n"))?;
    let replies = client.read_to_end()?;
    let guesses = replies
        .lines()
        .filter(|line| !line.starts_with('2'))
        .count();
    ensure!(
        guesses == 20
            || replies
                .lines()
                .last()
                .is_some_and(|line| line.starts_with("421 "))
    );
    Ok(guesses)
}

fn delivers(guard: SocketAddr) -> Result<()> {
    let mut client = Client::greeted(guard)?;
    let steps = [
        ("EHLO client.example.org", 250),
        ("MAIL FROM:<sender@example.org>", 250),
        (&rcpt("alice"), 250),
        ("DATA", 354),
        ("Subject: hello\r\n\r\nHello.\r\n.", 250),
        ("QUIT", 221),
    ];
    for (command, code) in steps {
        let reply = client.command(command)?;
        ensure!(reply.code == code, "{command}: {reply:?}");
    }
    Ok(())
}

/// Serves, cuts, ends with success on the signal, and leaves no process.
fn lives_and_ends(arguments: &[&str], signal: Signal) -> Result<()> {
    let mut launcher = Launcher::start(arguments)?;
    let guard = launcher.address()?;
    delivers(guard)?;
    assert_eq!(cut_after(guard)?, 5);
    let children = launcher.children()?;
    assert_eq!(children.len(), 2, "the mail server and the guard");
    launcher.process.signal(signal)?;
    ensure!(
        launcher.process.wait(PATIENCE)?.success(),
        "{}",
        launcher.process.log()?
    );
    all_gone(&children)?;
    Ok(())
}

#[test]
fn in_envoy_it_serves_and_ends_on_sigterm_leaving_no_process() -> Result<()> {
    lives_and_ends(&[], Signal::SIGTERM)
}

#[test]
fn in_the_simulator_it_serves_and_ends_on_ctrl_c_leaving_no_process() -> Result<()> {
    lives_and_ends(&["--host", "sim"], Signal::SIGINT)
}

#[test]
fn killed_without_a_chance_it_leaves_no_process() -> Result<()> {
    let mut launcher = Launcher::start(&[])?;
    launcher.address()?;
    let children = launcher.children()?;
    assert_eq!(children.len(), 2);
    launcher.process.signal(Signal::SIGKILL)?;
    Ok(all_gone(&children)?)
}

#[test]
fn the_status_page_shows_who_was_listed_and_ends_with_the_launcher() -> Result<()> {
    let mut launcher = Launcher::start(&["--status", "127.0.0.1:0"])?;
    let guard = launcher.address()?;
    let line = launcher.says("status page")?;
    let url = line.rsplit(' ').next().unwrap_or_default();
    let children = launcher.children()?;
    assert_eq!(children.len(), 3, "the mail server, the guard and the page");
    assert_eq!(cut_after(guard)?, 5);
    wait_for("the listing on the page", PATIENCE, || {
        let text = state(url);
        let shows = [
            r#""total":1,"matching":1,"#,
            r#"/32","reason":"ledger.streak","until":"#,
            r#"{"rule":"rcpt.max_consecutive","acted":{"total":1,"#,
            r#""verdict":"close","rule":"rcpt.max_consecutive","tried":5,"rejected":5"#,
        ];
        Ok::<_, Error>(match shows.iter().all(|part| text.contains(part)) {
            true => Seen::Done(()),
            false => Seen::NotYet(text),
        })
    })?;
    launcher.process.signal(Signal::SIGTERM)?;
    ensure!(launcher.process.wait(PATIENCE)?.success());
    Ok(all_gone(&children)?)
}

#[test]
fn mail_goes_on_without_the_status_page() -> Result<()> {
    let mut launcher = Launcher::start(&["--status", "127.0.0.1:0"])?;
    let guard = launcher.address()?;
    launcher.says("status page")?;
    let name = |id: &u32| fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
    let children = launcher.children()?;
    // The kernel keeps fifteen letters of a name.
    let page = children
        .iter()
        .find(|id| name(id).starts_with("portcullis-stat"));
    let page = page.context("no process of the page's name")?;
    kill(Pid::from_raw(page.cast_signed()), Signal::SIGKILL)?;
    launcher.says("mail goes on without the status page")?;
    delivers(guard)
}

#[test]
fn a_changed_policy_is_applied_on_sighup_and_a_bad_one_is_not() -> Result<()> {
    let mut launcher = Launcher::start(&[])?;
    let guard = launcher.address()?;
    launcher.write_policy(r#"{ "rcpt": { "max_consecutive": "no" } }"#)?;
    launcher.process.signal(Signal::SIGHUP)?;
    launcher.says("the old policy stays in force")?;
    launcher.says("rcpt.max_consecutive")?;
    assert_eq!(cut_after(guard)?, 5);
    launcher.write_policy(r#"{ "rcpt": { "max_consecutive": 2 } }"#)?;
    launcher.process.signal(Signal::SIGHUP)?;
    launcher.says("is in force for new connections")?;
    wait_for("the new policy", PATIENCE, || match cut_after(guard) {
        Ok(2) => Ok(Seen::Done(())),
        other => Ok(Seen::NotYet(format!("{other:?}"))),
    })?;
    Ok(())
}

#[test]
fn with_starttls_on_a_changed_policy_holds_under_tls() -> Result<()> {
    let mut launcher = Launcher::start(&["--starttls", "on"])?;
    let guard = launcher.address()?;
    launcher.says("swaks --server 127.0.0.1:")?;
    let guess = || -> Result<Vec<u16>> {
        let mut client = under_tls(Client::greeted(guard)?)?;
        client.command("MAIL FROM:<offer@example.org>")?;
        client.send(rcpts("guess", 5))?;
        let mut codes = Vec::new();
        while codes.last() != Some(&421) {
            codes.push(client.reply()?.code);
        }
        Ok(codes)
    };
    assert_eq!(guess()?, [451, 451, 451, 451, 421]);
    launcher.write_policy(r#"{ "rcpt": { "max_consecutive": 2 } }"#)?;
    launcher.process.signal(Signal::SIGHUP)?;
    launcher.says("is in force for new connections")?;
    wait_for("the new policy", PATIENCE, || match guess() {
        Ok(codes) if codes.len() == 2 => Ok(Seen::Done(())),
        other => Ok(Seen::NotYet(format!("{other:?}"))),
    })?;
    Ok(())
}

#[test]
fn behind_a_front_proxy_a_direct_client_is_turned_away() -> Result<()> {
    let mut launcher = Launcher::start(&["--proxy-protocol", "on", "--trusted", "127.0.0.1/32"])?;
    let guard = launcher.address()?;
    let mut direct = Client::connect(guard)?;
    direct.send("EHLO client.example.org\r\n")?;
    assert_eq!(direct.read_until_closed()?, "");
    let mut proxied = Client::connect_from(Ipv4Addr::LOCALHOST.into(), guard)?;
    proxied.send("PROXY TCP4 203.0.113.7 192.0.2.25 5555 25\r\n")?;
    assert_eq!(proxied.reply()?.code, 220);
    Ok(())
}

/// Ends by itself with status 1, and says why.
fn fails_saying(launcher: &mut Launcher, wanted: &[&str]) -> Result<()> {
    let status = launcher.process.wait(PATIENCE)?;
    let said = launcher.process.log()?;
    ensure!(status.code() == Some(1), "{status}: {said}");
    match wanted.iter().find(|word| !said.contains(**word)) {
        None => Ok(()),
        Some(word) => bail!("{word:?} is not in: {said}"),
    }
}

#[test]
fn a_bad_policy_at_the_start_is_told_in_the_filters_words() -> Result<()> {
    for host in ["envoy", "sim"] {
        let directory = TempDir::new()?;
        let policy = directory.path().join("bad.json");
        fs::write(&policy, r#"{ "reset": { "mode": "never" } }"#)?;
        let arguments = ["--policy", &policy.to_string_lossy(), "--host", host];
        let mut launcher = Launcher::start(&arguments)?;
        fails_saying(&mut launcher, &["reset.mode", "never"])?;
    }
    Ok(())
}

#[test]
fn an_address_in_use_is_told_with_the_flag_that_changes_it() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    for flag in ["--listen", "--admin", "--status"] {
        let mut launcher = Launcher::start(&[flag, &address])?;
        fails_saying(&mut launcher, &[&address, flag, "in use"])?;
    }
    Ok(())
}

#[test]
fn blocklists_without_envoy_or_without_names_are_told_what_is_missing() -> Result<()> {
    let mut launcher = Launcher::start(&["--dnsbl", "on", "--host", "sim"])?;
    fails_saying(&mut launcher, &["--dnsbl", "--host envoy"])?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis-run"));
    let output = command.args(["--dnsbl", "127.0.0.1:8053"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && said.contains("dnsbl.sites"),
        "{said}"
    );
    Ok(())
}
