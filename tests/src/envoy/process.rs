//! A running Envoy.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    Admin,
    admin::Updates,
    config::{EnvoyConfig, Guard},
    render::{self, Places},
};
use crate::{
    Error,
    deadline::{PATIENCE, Seen, wait_for},
    paths,
    process::Process,
};

/// How often Envoy writes its access log out; its default of ten seconds is too long to watch.
const LOG_FLUSH_MS: &str = "20";

/// What Envoy, or the filter's panic handler, logs when the filter traps.
const TRAPPED: [&str; 3] = ["Uncaught RuntimeError", "panicked at", "VM failed"];

/// A running Envoy; dropping it ends it and removes its runtime directory.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    admin: Admin,
    address: SocketAddr,
    config: EnvoyConfig,
    files: Files,
}

/// The runtime directory.
#[derive(Debug)]
struct Files {
    directory: TempDir,
    access_log: PathBuf,
}

impl EnvoyConfig {
    /// Starts Envoy and waits until it serves.
    ///
    /// # Errors
    /// [`Error::Missing`] if Envoy is not installed, [`Error::Refused`] with the filter's own words
    /// if it refuses the policy, [`Error::Ended`] with Envoy's if it gives up.
    pub fn start(self) -> Result<Envoy, Error> {
        let files = Files::create(self.access_log.as_deref())?;
        let rendered = render::render(&self, files.places(&files.watched(), &files.listener()))?;
        write_json(&files.bootstrap(), &rendered.bootstrap)?;
        if let Some(certificate) = self.client_tls.certificate() {
            write_json(&files.certificate(), &render::secret(certificate)?)?;
        }
        files.publish(&rendered.listener)?;

        let mut process = Process::start("envoy", self.command(&files)?, &files.log())?;
        let admin = wait_for("Envoy's administration interface", PATIENCE, || {
            process.still_runs()?;
            // Envoy writes the address it got, so that port 0 can be asked for.
            let told = fs::read_to_string(files.admin_address()).unwrap_or_default();
            let admin = told.trim().parse().ok().map(Admin::at).filter(Admin::ready);
            Ok(admin.map_or(Seen::NotYet(told), Seen::Done))
        })?;
        wait_for_verdict(&mut process, &admin, Before::START)?;
        let address = wait_for("Envoy's listener", PATIENCE, || {
            let address = admin.listener_address()?;
            Ok(address.map_or(Seen::NotYet(String::new()), Seen::Done))
        })?;
        // A later revision must ask for the port that this one was given.
        let config = self.listen(address);
        Ok(Envoy {
            process,
            admin,
            address,
            config,
            files,
        })
    }

    fn command(&self, files: &Files) -> Result<Command, Error> {
        let mut command = Command::new(paths::envoy()?);
        command
            // With hot restart Envoy would share memory with every other Envoy of this machine.
            .arg("--disable-hot-restart")
            .arg("--config-path")
            .arg(files.bootstrap())
            .arg("--admin-address-path")
            .arg(files.admin_address())
            .args(["--concurrency", &self.workers.to_string()])
            .args(["--drain-time-s", &self.drain.as_secs().to_string()])
            .args(["--file-flush-interval-msec", LOG_FLUSH_MS])
            .args(["--log-level", "warning"])
            .args(["--component-log-level", "wasm:info,dynamic_modules:info"]);
        Ok(command)
    }
}

impl Envoy {
    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its administration interface.
    #[must_use]
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Its process, for its log and its end.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Where the access log goes.
    #[must_use]
    pub fn access_log_path(&self) -> &Path {
        &self.files.access_log
    }

    /// The access log's lines so far, each one JSON object.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, [`Error::Content`] if a line is not JSON.
    pub fn access_log(&self) -> Result<Vec<Value>, Error> {
        let path = &self.files.access_log;
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => {
                return Err(Error::File {
                    path: path.clone(),
                    source,
                });
            }
        };
        let whole = text
            .rfind('\n')
            .map_or("", |end| text.get(..end).unwrap_or_default());
        let parsed = whole.lines().map(|line| {
            serde_json::from_str(line).map_err(|error| Error::Content {
                path: path.clone(),
                reason: format!("{error} in the line {line}"),
            })
        });
        parsed.collect()
    }

    /// Waits until at least `count` sessions are in the access log and returns all lines.
    ///
    /// # Errors
    /// [`Error::Late`], or as [`Envoy::access_log`].
    pub fn wait_for_sessions(&self, count: usize) -> Result<Vec<Value>, Error> {
        wait_for(&format!("access log of {count} sessions"), PATIENCE, || {
            let lines = self.access_log()?;
            let seen = lines.len();
            Ok(if seen < count {
                Seen::NotYet(format!("{seen} sessions"))
            } else {
                Seen::Done(lines)
            })
        })
    }

    /// The lines of its log that tell of a trap in the filter: none, if all is well.
    ///
    /// # Errors
    /// [`Error::File`] if the log cannot be read.
    pub fn traps(&self) -> Result<Vec<String>, Error> {
        let log = self.process.log()?;
        let traps = log
            .lines()
            .filter(|line| TRAPPED.iter().any(|word| line.contains(word)));
        Ok(traps.map(str::to_owned).collect())
    }

    /// Puts another policy in force for new connections; live ones keep the old one.
    ///
    /// # Errors
    /// [`Error::Refused`] with the filter's own words; then the old policy stays in force.
    pub fn reload(&mut self, policy: Value) -> Result<(), Error> {
        let before = Before {
            updates: self.admin.updates()?,
            logged: self.process.log()?.len(),
        };
        let mut next = self.config.clone();
        if let Guard::Present {
            policy: current, ..
        } = &mut next.guard
        {
            *current = policy;
        }
        let (watched, listener) = (self.files.watched(), self.files.listener());
        let rendered = render::render(&next, self.files.places(&watched, &listener))?;
        self.files.publish(&rendered.listener)?;
        wait_for_verdict(&mut self.process, &self.admin, before)?;
        self.config = next;
        Ok(())
    }
}

/// How things stood before a listener was published.
#[derive(Debug, Clone, Copy)]
struct Before {
    updates: Updates,
    /// How much of Envoy's log was there already, in bytes.
    logged: usize,
}

impl Before {
    const START: Self = Self {
        updates: Updates {
            accepted: 0,
            refused: 0,
        },
        logged: 0,
    };
}

/// Waits until Envoy has taken the published listener over, or refused it.
fn wait_for_verdict(process: &mut Process, admin: &Admin, before: Before) -> Result<(), Error> {
    wait_for("Envoy's verdict on the listener", PATIENCE, || {
        process.still_runs()?;
        let now = admin.updates()?;
        if now.refused > before.updates.refused {
            let log = process.log()?;
            let told = filters_words(log.get(before.logged..).unwrap_or_default());
            return Err(Error::Refused {
                reason: format!("{told}{}", admin.why_refused()?),
            });
        }
        let warming = admin.stat("listener_manager.total_listeners_warming")?;
        let taken = now.accepted > before.updates.accepted && warming == 0;
        Ok(if taken {
            Seen::Done(())
        } else {
            Seen::NotYet(format!("{now:?}, {warming} warming"))
        })
    })
}

/// What the filter itself logged as an error, without Envoy's prefix, one line each.
fn filters_words(log: &str) -> String {
    let serious = log
        .lines()
        .filter(|line| line.contains("[error]") || line.contains("[critical]"));
    let mut words: Vec<&str> = serious
        .filter_map(|line| Some(line.split_once("wasm log")?.1.split_once(": ")?.1))
        .collect();
    // Every thread's machine says the same.
    words.dedup();
    words.into_iter().map(|line| format!("{line}\n")).collect()
}

impl Files {
    fn create(access_log: Option<&Path>) -> Result<Self, Error> {
        let made = tempfile::Builder::new()
            .prefix("portcullis-envoy-")
            .tempdir();
        let directory = made.map_err(Error::file(std::env::temp_dir()))?;
        let usual = directory.path().join("access.log");
        let files = Self {
            access_log: access_log.map_or(usual, Path::to_path_buf),
            directory,
        };
        fs::create_dir(files.watched()).map_err(Error::file(files.watched()))?;
        Ok(files)
    }

    fn bootstrap(&self) -> PathBuf {
        self.directory.path().join("envoy.json")
    }

    fn admin_address(&self) -> PathBuf {
        self.directory.path().join("admin-address")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("envoy.log")
    }

    fn watched(&self) -> PathBuf {
        self.directory.path().join("listeners")
    }

    fn listener(&self) -> PathBuf {
        self.watched().join("smtp.json")
    }

    /// Which certificate clients see, as Envoy's secret discovery reads it.
    fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificate.json")
    }

    fn places<'a>(&'a self, watched: &'a Path, listener: &'a Path) -> Places<'a> {
        Places {
            watched,
            listener,
            certificate: self.certificate(),
            access_log: &self.access_log,
        }
    }

    /// Puts a listener where Envoy sees it, whole or not at all: Envoy watches for files moved into
    /// the directory.
    fn publish(&self, listener: &Value) -> Result<(), Error> {
        let draft = self.directory.path().join("smtp.json.draft");
        write_json(&draft, &render::discovery(listener))?;
        fs::rename(&draft, self.listener()).map_err(Error::file(self.listener()))
    }
}

fn write_json(path: &Path, value: &Value) -> Result<(), Error> {
    fs::write(path, format!("{value:#}\n")).map_err(Error::file(path))
}
