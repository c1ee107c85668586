//! Where the mail goes: Postfix's smtp-sink, the same for all.

use std::{net::SocketAddr, process::Command};

use anyhow::Result;
use nix::unistd::Uid;
use portcullis_tests::{paths, process::Process};
use tempfile::TempDir;

use super::{on_a_free_port, wait_until_open};

/// A running smtp-sink.
#[derive(Debug)]
pub struct Sink {
    process: Process,
    address: SocketAddr,
    _directory: TempDir,
}

impl Sink {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub fn start() -> Result<Self> {
        on_a_free_port(|address| {
            let directory = tempfile::Builder::new()
                .prefix("portcullis-sink-")
                .tempdir()?;
            let mut command = Command::new(paths::on_path("smtp-sink")?);
            command.current_dir(directory.path());
            if Uid::effective().is_root() {
                // As root it wants to be told whom to become; that user's files are not ours.
                command.args(["-u", "postfix"]);
            }
            command.args(["-h", "mx.example.test", "-m", "30000"]);
            command.arg(address.to_string()).arg("4096");
            let log = directory.path().join("sink.log");
            let mut process = Process::start("smtp-sink", command, &log)?;
            wait_until_open(&mut process, address)?;
            Ok(Self {
                process,
                address,
                _directory: directory,
            })
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
