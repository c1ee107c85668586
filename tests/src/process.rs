//! One process of ours: started in its own group, logged to a file, ended by its id.

use std::{
    fs::{self, File},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        prctl,
        resource::{self, Resource},
        signal::{self, Signal},
    },
    unistd::{Pid, getppid},
};

use crate::{
    Error,
    deadline::{Seen, wait_for},
};

/// How long a process may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(5);

/// How many of the log's last lines an error shows.
const LAST_LINES: usize = 25;

/// A running process. Dropping it ends its whole group: first asked, then forced.
///
/// If the thread that started it dies without unwinding (a SIGKILL), the kernel asks instead, so
/// no orphan survives.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with no input and both outputs appended to the file `log`.
    ///
    /// # Errors
    /// [`Error::File`] if the log cannot be opened, [`Error::Spawn`] if the program cannot run.
    pub fn start(name: &str, command: Command, log: &Path) -> Result<Self, Error> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(Error::file(log))?;
        let errors = output.try_clone().map_err(Error::file(log))?;
        let child = detached(command)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|source| Error::Spawn {
                name: name.into(),
                source,
            })?;
        Ok(Self {
            name: name.into(),
            child,
            log: log.to_path_buf(),
        })
    }

    /// The process id, which is also the id of its group.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has said so far.
    ///
    /// # Errors
    /// [`Error::File`] if the log cannot be read.
    pub fn log(&self) -> Result<String, Error> {
        let bytes = fs::read(&self.log).map_err(Error::file(&self.log))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The file that holds its output.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// # Errors
    /// [`Error::Ended`] with the end of its log if it is not running any more.
    pub fn still_runs(&mut self) -> Result<(), Error> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.ended(&status.to_string())),
            Err(source) => Err(Error::Spawn {
                name: self.name.clone(),
                source,
            }),
        }
    }

    /// Sends a signal to the process (not to its group).
    ///
    /// # Errors
    /// [`Error::Ended`] if it is gone.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        signal::kill(self.pid(), signal).map_err(|errno| self.ended(errno.desc()))
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// [`Error::Late`] if it does not within the time given.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus, Error> {
        let (name, child) = (self.name.clone(), &mut self.child);
        wait_for(&format!("the end of {name}"), within, || {
            match child.try_wait() {
                Ok(Some(status)) => Ok(Seen::Done(status)),
                Ok(None) => Ok(Seen::NotYet(String::new())),
                Err(source) => Err(Error::Spawn {
                    name: name.clone(),
                    source,
                }),
            }
        })
    }

    /// Asks the whole group to end and waits; what does not obey is killed.
    ///
    /// # Errors
    /// [`Error::Late`] if it had to be killed.
    pub fn end(&mut self) -> Result<ExitStatus, Error> {
        if let Ok(Some(status)) = self.child.try_wait() {
            // Its id may be another's by now.
            return Ok(status);
        }
        self.signal_group(Signal::SIGTERM);
        let ended = self.wait(GRACE);
        self.signal_group(Signal::SIGKILL);
        if ended.is_err() {
            // Reaped, so that its id is not left behind; a killed process ends at once.
            let _ = self.child.wait();
        }
        ended
    }

    fn signal_group(&self, signal: Signal) {
        // The only failure is that nobody is left, which is what is wanted.
        let _ = signal::killpg(self.pid(), signal);
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn ended(&self, status: &str) -> Error {
        let log = self.log().unwrap_or_default();
        Error::Ended {
            name: self.name.clone(),
            status: status.into(),
            log: last_lines(&log),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Runs a program to its end; what it printed on both outputs.
///
/// # Errors
/// [`Error::Spawn`] if it cannot run, [`Error::Ended`] with what it printed if it fails.
pub fn output_of(command: &mut Command) -> Result<String, Error> {
    let name = format!("{command:?}");
    let output = command.output().map_err(|source| Error::Spawn {
        name: name.clone(),
        source,
    })?;
    let printed = [output.stdout, output.stderr].concat();
    let log = String::from_utf8_lossy(&printed).into_owned();
    match output.status.success() {
        true => Ok(log),
        false => Err(Error::Ended {
            name,
            status: output.status.to_string(),
            log,
        }),
    }
}

/// Lets this process, and those it starts, open as many files as the system allows.
///
/// # Errors
/// [`Error::Spawn`] if the limit cannot be read or set.
pub fn raise_open_files() -> Result<(), Error> {
    let raise = || {
        let (_, most) = resource::getrlimit(Resource::RLIMIT_NOFILE)?;
        resource::setrlimit(Resource::RLIMIT_NOFILE, most, most)
    };
    raise().map_err(|errno| Error::Spawn {
        name: "with more open files".into(),
        source: errno.into(),
    })
}

/// Puts the command in its own process group and ties its life to this thread's.
fn detached(mut command: Command) -> Command {
    let parent = nix::unistd::getpid();
    command.process_group(0);
    // SAFETY: between fork and exec only prctl and getppid are called, both async-signal-safe, and
    // nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            prctl::set_pdeathsig(Signal::SIGTERM)?;
            // The parent may have died before the line above took effect.
            if getppid() == parent {
                Ok(())
            } else {
                Err(io::Error::from(Errno::ESRCH))
            }
        });
    }
    command
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let from = lines.len().saturating_sub(LAST_LINES);
    lines.get(from..).unwrap_or_default().join("\n")
}
