//! fail2ban beside the mail server. Its action writes a list, which the bots honour as a firewall
//! would have them do: this machine's own firewall is left alone, and nothing that is dropped costs
//! anything, which is in its favour.

use std::{
    collections::HashSet,
    fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, PoisonError, RwLock},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use portcullis_tests::{
    deadline::{PATIENCE, Seen, wait_for},
    paths,
    process::Process,
};
use tempfile::TempDir;

/// How often the list is read.
const LOOK: Duration = Duration::from_millis(50);

/// Who is banned just now; nobody, if nobody bans.
#[derive(Debug, Clone, Default)]
pub(super) struct Banned(Arc<RwLock<HashSet<Ipv4Addr>>>);

impl Banned {
    /// # Errors
    /// As a packet filter that refuses connections.
    pub(super) fn lets_in(&self, client: Ipv4Addr) -> io::Result<()> {
        let banned = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match banned.contains(&client) {
            true => Err(io::ErrorKind::ConnectionRefused.into()),
            false => Ok(()),
        }
    }

    /// Reads the list as it grows, as long as there is somebody who asks.
    fn follow(list: PathBuf) -> Self {
        let banned = Self::default();
        let known = Arc::downgrade(&banned.0);
        thread::spawn(move || {
            while let Some(known) = known.upgrade() {
                let text = fs::read_to_string(&list).unwrap_or_default();
                let clients = text.lines().filter_map(|line| line.parse().ok()).collect();
                *known.write().unwrap_or_else(PoisonError::into_inner) = clients;
                drop(known);
                thread::sleep(LOOK);
            }
        });
        banned
    }
}

/// A running fail2ban; dropping it ends it.
#[derive(Debug)]
pub(super) struct Fail2ban {
    pub(super) process: Process,
    _directory: TempDir,
}

impl Fail2ban {
    /// Watches this log.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub(super) fn watching(log: &Path) -> Result<(Self, Banned)> {
        let program = paths::on_path("fail2ban-server")
            .context("it is not installed: run `make setup-bench`")?;
        let directory = tempfile::Builder::new()
            .prefix("portcullis-fail2ban-")
            .tempdir()?;
        let at = directory.path();
        let list = at.join("banned");
        write_configuration(at, log, &list)?;
        let mut command = Command::new(program);
        command
            .args(["-f", "-x", "-c"])
            .arg(at)
            .arg("-s")
            .arg(at.join("socket"))
            .arg("-p")
            .arg(at.join("pid"))
            .args(["--logtarget", "stdout"]);
        let mut process = Process::start("fail2ban", command, &at.join("fail2ban.log"))?;
        wait_for("fail2ban to watch", PATIENCE, || {
            process.still_runs()?;
            let log = process.log()?;
            Ok(match log.contains("Jail 'guesses' started") {
                true => Seen::Done(()),
                false => Seen::NotYet(log),
            })
        })?;
        let fail2ban = Self {
            process,
            _directory: directory,
        };
        Ok((fail2ban, Banned::follow(list)))
    }
}

/// Five unknown recipients within ten minutes, as many as the guard allows. Debian's own filter for
/// Postfix does not match replies of 451; this one does.
fn write_configuration(at: &Path, log: &Path, list: &Path) -> Result<()> {
    let files = [
        (
            "fail2ban.conf",
            format!(
                "[DEFAULT]\nloglevel = INFO\nlogtarget = STDOUT\nsyslogsocket = auto\n\
                 socket = {at}/socket\npidfile = {at}/pid\ndbfile = None\ndbpurgeage = 1d\n\
                 dbmaxmatches = 10\n[Definition]\n[Thread]\n",
                at = at.display()
            ),
        ),
        (
            "jail.conf",
            format!(
                "[DEFAULT]\nusedns = no\nlogencoding = utf-8\nignoreip =\n[guesses]\nenabled = true\n\
                 filter = guesses\nbackend = polling\nlogpath = {}\nmaxretry = 5\nfindtime = 600\n\
                 bantime = 3600\naction = list\n",
                log.display()
            ),
        ),
        (
            "filter.d/guesses.conf",
            "[Definition]\nfailregex = reject: RCPT from [^[]*\\[<HOST>\\]: .*User unknown\n\
             ignoreregex =\n"
                .to_owned(),
        ),
        (
            "action.d/list.conf",
            format!(
                "[Definition]\nactionstart =\nactionstop =\nactioncheck =\n\
                 actionban = echo <ip> >>{list}\nactionunban =\n",
                list = list.display()
            ),
        ),
    ];
    for (name, text) in files {
        let file = at.join(name);
        fs::create_dir_all(file.parent().unwrap_or(at))?;
        fs::write(file, text)?;
    }
    Ok(())
}
