//! Exim as a sender, out of its package: it is not installed, since the package would take Postfix's
//! place.

use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::{MetadataExt as _, chown},
    path::PathBuf,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::{Error, paths, tls::Certificate};

/// Exim delivers under TLS or not at all, and checks the certificate.
const CONFIGURATION: &str = "\
primary_hostname = sender.example.org
spool_directory = {at}/spool
log_file_path = {at}/log/%slog
deliver_drop_privilege
keep_environment = LD_PRELOAD : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP
disable_ipv6
begin routers
guard:
  driver = manualroute
  route_list = * {host}::{port} byname
  self = send
  transport = tls
begin transports
tls:
  driver = smtp
  hosts_require_tls = *
  tls_verify_certificates = {ca}
  tls_verify_hosts = *
  tls_verify_cert_hostnames =
";

/// The user that Exim was built to run as, which a machine without the package does not have; a
/// library shows it one that every machine has.
const USER: &str = "Debian-exim";
const STAND_IN: &str = "/var/mail";

/// An Exim with a queue of its own.
#[derive(Debug)]
pub struct Exim {
    directory: TempDir,
}

impl Exim {
    /// One that sends everything to this address, whose certificate is signed by this one.
    ///
    /// # Errors
    /// [`Error::File`] if a file cannot be written.
    pub fn sending_to(address: SocketAddr, certificate: &Certificate) -> Result<Self, Error> {
        let made = tempfile::Builder::new()
            .prefix("portcullis-exim-")
            .tempdir();
        let directory = made.map_err(Error::file(std::env::temp_dir()))?;
        let at = directory.path();
        // The group of the mailboxes is one of the few that are on every Debian.
        let stand_in = fs::metadata(STAND_IN).map_err(Error::file(STAND_IN))?.gid();
        let configuration = CONFIGURATION
            .replace("{at}", &at.display().to_string())
            .replace("{host}", &address.ip().to_string())
            .replace("{port}", &address.port().to_string())
            .replace("{ca}", &at.join("ca.pem").display().to_string());
        for (name, text) in [
            ("exim.conf", configuration),
            (
                "passwd",
                format!(
                    "root:x:0:0::/root:/bin/sh\n{USER}:x:{stand_in}:{stand_in}::/:/bin/false\n"
                ),
            ),
            ("group", format!("root:x:0:\n{USER}:x:{stand_in}:\n")),
        ] {
            fs::write(at.join(name), text).map_err(Error::file(at.join(name)))?;
        }
        let ca = at.join("ca.pem");
        fs::copy(certificate.chain(), &ca).map_err(Error::file(ca))?;
        for name in ["spool", "log"] {
            let place = at.join(name);
            fs::create_dir(&place).map_err(Error::file(&place))?;
            chown(&place, Some(stand_in), Some(stand_in)).map_err(Error::file(&place))?;
        }
        chown(at, Some(stand_in), Some(stand_in)).map_err(Error::file(at))?;
        Ok(Self { directory })
    }

    /// Sends one message at once; what Exim logs of it.
    ///
    /// # Errors
    /// [`Error::Missing`] if Exim is not there, [`Error::Spawn`] if it cannot run, [`Error::Ended`]
    /// if it fails.
    pub fn send(&self, recipients: &[&str]) -> Result<String, Error> {
        let at = self.directory.path();
        let spawn = |source| Error::Spawn {
            name: "Exim".into(),
            source,
        };
        let mut child = Command::new(paths::exim()?)
            .arg("-C")
            .arg(at.join("exim.conf"))
            .args(["-odi", "-oi", "-f", "sender@example.org"])
            .args(recipients)
            .env("LD_PRELOAD", "libnss_wrapper.so")
            .env("NSS_WRAPPER_PASSWD", at.join("passwd"))
            .env("NSS_WRAPPER_GROUP", at.join("group"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(spawn)?;
        if let Some(mut input) = child.stdin.take() {
            input
                .write_all(b"Subject: minutes\n\nThe minutes.\n")
                .map_err(spawn)?;
        }
        let output = child.wait_with_output().map_err(spawn)?;
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        if output.status.success() {
            return Ok(log);
        }
        Err(Error::Ended {
            name: "Exim".into(),
            status: output.status.to_string(),
            log: format!("{}{log}", String::from_utf8_lossy(&output.stderr)),
        })
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log/mainlog")
    }
}
