//! Real rbldnsd: the server of most blocklists.

use std::{
    fs::{self, Permissions},
    net::SocketAddr,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    sys::signal::Signal,
    unistd::{Uid, User},
};
use tempfile::TempDir;

use super::{Question, Zone, ports};
use crate::{
    Error,
    deadline::{PATIENCE, Seen, wait_for},
    paths,
    process::Process,
};

/// How often a start is tried: another process may take the port picked.
const TRIES: usize = 3;

/// What it logs once it serves, and once it has read its zones anew.
const SERVES: &str = " started (";
const RELOADED: &str = "zones reloaded";

/// The list of zones, one argument of rbldnsd a line, beside their files.
const SPECS: &str = "zones.txt";

/// A running rbldnsd; dropping it ends it and removes its directory.
#[derive(Debug)]
pub struct Rbldnsd {
    process: Process,
    address: SocketAddr,
    directory: TempDir,
}

impl Rbldnsd {
    /// Serves these zones on a free port.
    ///
    /// # Errors
    /// [`Error::Missing`] if it is not installed, [`Error::Ended`] with its log if it gives up.
    pub fn serving(zones: &[Zone]) -> Result<Self, Error> {
        Self::in_directory(prepared(|zone_files| write_zones(zone_files, zones))?)
    }

    /// Serves the zones of `envoy/dnsbl/zones` on a free port.
    ///
    /// # Errors
    /// As [`Rbldnsd::serving`].
    pub fn example() -> Result<Self, Error> {
        Self::in_directory(prepared(|zone_files| {
            copy_files(&paths::dnsbl().join("zones"), zone_files)
        })?)
    }

    /// Serves one zone that somebody else has written, as a dataset of this type.
    ///
    /// # Errors
    /// As [`Rbldnsd::serving`].
    pub fn serving_text(domain: &str, dataset: &str, text: &str) -> Result<Self, Error> {
        Self::in_directory(prepared(|zone_files| {
            write_file(zone_files, "zone.txt", text)?;
            write_file(zone_files, SPECS, &format!("{domain}:{dataset}:zone.txt\n"))
        })?)
    }

    fn in_directory(directory: TempDir) -> Result<Self, Error> {
        let mut address = ports::free()?;
        let mut tried = launch(address, directory.path());
        for _ in 1..TRIES {
            if tried.is_ok() {
                break;
            }
            address = ports::free()?;
            tried = launch(address, directory.path());
        }
        Ok(Self {
            process: tried?,
            address,
            directory,
        })
    }

    /// Where it listens, UDP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process, for its log and its end.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Where its zones' files are.
    #[must_use]
    pub fn zone_files(&self) -> PathBuf {
        zone_files(self.directory.path())
    }

    /// Serves these zones from now on; each must have been served from the start.
    ///
    /// # Errors
    /// [`Error::File`], or [`Error::Late`] if it does not read them.
    pub fn reload(&mut self, zones: &[Zone]) -> Result<(), Error> {
        let before = count(&self.process.log()?, RELOADED);
        write_zones(&self.zone_files(), zones)?;
        self.process.signal(Signal::SIGHUP)?;
        wait_for_line(&mut self.process, RELOADED, before)
    }

    /// Kills it; questions go unanswered until [`Rbldnsd::restart`].
    ///
    /// # Errors
    /// [`Error::Late`] if it does not die.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.process.signal(Signal::SIGKILL)?;
        self.process.wait(PATIENCE).map(drop)
    }

    /// Starts it again where it was.
    ///
    /// # Errors
    /// As [`Rbldnsd::serving`].
    pub fn restart(&mut self) -> Result<(), Error> {
        self.process.end()?;
        self.process = launch(self.address, self.directory.path())?;
        Ok(())
    }

    /// Every question that reached it, in order.
    ///
    /// # Errors
    /// [`Error::File`] if its log of them cannot be read.
    pub fn questions(&self) -> Result<Vec<Question>, Error> {
        let path = question_log(self.directory.path());
        let text = fs::read_to_string(&path).map_err(Error::file(&path))?;
        Ok(text.lines().filter_map(question).collect())
    }

    /// How many questions about clients a zone got; those for its test points are not counted.
    ///
    /// # Errors
    /// As [`Rbldnsd::questions`].
    pub fn asked_about_clients(&self, domain: &str) -> Result<usize, Error> {
        let questions = self.questions()?;
        let about = |question: &&Question| question.is_in(domain) && !question.is_test_point();
        Ok(questions.iter().filter(about).count())
    }
}

/// Reads `1795476359 127.0.0.1 7.113.0.203.bl.example.test A IN: NOERROR/1/78`.
fn question(line: &str) -> Option<Question> {
    let mut words = line.split(' ').skip(2);
    Some(Question {
        name: words.next()?.to_ascii_lowercase(),
        record: words.next()?.into(),
    })
}

fn launch(address: SocketAddr, directory: &Path) -> Result<Process, Error> {
    let specs = zone_files(directory).join(SPECS);
    let text = fs::read_to_string(&specs).map_err(Error::file(&specs))?;
    let mut command = Command::new(paths::on_path("rbldnsd")?);
    as_its_user(&mut command);
    command
        .arg("-n")
        .args(["-b", &format!("{}/{}", address.ip(), address.port())])
        .arg("-w")
        .arg(zone_files(directory))
        .arg("-l")
        // A plus sign means that each question is written at once.
        .arg(format!("+{}", question_log(directory).display()))
        .args(text.split_whitespace());
    let log = directory.join("rbldnsd.log");
    let before = count(&fs::read_to_string(&log).unwrap_or_default(), SERVES);
    let mut process = Process::start("rbldnsd", command, &log)?;
    wait_for_line(&mut process, SERVES, before)?;
    Ok(process)
}

/// It refuses to run as root. Left to itself it becomes its own user, but then the kernel forgets to
/// end it when this program is killed.
fn as_its_user(command: &mut Command) {
    let user = User::from_name("rbldns").ok().flatten();
    if let (true, Some(user)) = (Uid::effective().is_root(), user) {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
}

/// Waits until its log holds more than `before` such lines.
fn wait_for_line(process: &mut Process, wanted: &str, before: usize) -> Result<(), Error> {
    wait_for(&format!("{wanted:?} from rbldnsd"), PATIENCE, || {
        let log = process.log()?;
        if count(&log, wanted) > before {
            return Ok(Seen::Done(()));
        }
        process.still_runs()?;
        Ok(Seen::NotYet(log))
    })
}

fn count(log: &str, wanted: &str) -> usize {
    log.lines().filter(|line| line.contains(wanted)).count()
}

/// A directory for one rbldnsd, its zones written. It may run as another user than this program, who
/// must be able to read the zones and to write the log of questions.
fn prepared(write: impl FnOnce(&Path) -> Result<(), Error>) -> Result<TempDir, Error> {
    let made = tempfile::Builder::new()
        .prefix("portcullis-rbldnsd-")
        .tempdir();
    let directory = made.map_err(Error::file(std::env::temp_dir()))?;
    let at = directory.path();
    fs::create_dir(zone_files(at)).map_err(Error::file(at))?;
    write(&zone_files(at))?;
    let questions = question_log(at);
    fs::write(&questions, "").map_err(Error::file(&questions))?;
    for (place, mode) in [(at.to_path_buf(), 0o755), (questions, 0o666)] {
        let permissions = Permissions::from_mode(mode);
        fs::set_permissions(&place, permissions).map_err(Error::file(place))?;
    }
    Ok(directory)
}

fn zone_files(directory: &Path) -> PathBuf {
    directory.join("zones")
}

fn question_log(directory: &Path) -> PathBuf {
    directory.join("questions.log")
}

fn write_zones(directory: &Path, zones: &[Zone]) -> Result<(), Error> {
    let mut specs = String::new();
    for zone in zones {
        for (dataset, file, text) in zone.files() {
            write_file(directory, &file, text)?;
            specs += &format!("{}:{dataset}:{file}\n", zone.domain());
        }
    }
    write_file(directory, SPECS, &specs)
}

fn copy_files(from: &Path, to: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(from).map_err(Error::file(from))? {
        let entry = entry.map_err(Error::file(from))?;
        let text = fs::read_to_string(entry.path()).map_err(Error::file(entry.path()))?;
        write_file(to, &entry.file_name().to_string_lossy(), &text)?;
    }
    Ok(())
}

/// Replaces a file whole: rbldnsd must not read half of one.
fn write_file(directory: &Path, name: &str, text: &str) -> Result<(), Error> {
    let (draft, path) = (directory.join(format!(".{name}")), directory.join(name));
    fs::write(&draft, text).map_err(Error::file(&draft))?;
    fs::rename(&draft, &path).map_err(Error::file(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_log_tells_what_was_asked() {
        let line = "1795476359 127.0.0.1 7.113.0.203.BL.example.test A IN: NOERROR/1/78";
        let question = question(line).unwrap();
        assert_eq!(question.name, "7.113.0.203.bl.example.test");
        assert_eq!(question.record, "A");
        assert!(question.is_in("bl.example.test") && !question.is_test_point());
    }

    #[test]
    fn half_a_line_is_no_question() {
        assert!(question("1795476359 127.0.0.1").is_none());
    }
}
