//! Haraka as a front: it speaks SMTP to both sides and passes each message on when it has it.

use std::{env, fs, net::SocketAddr, path::PathBuf, process::Command};

use anyhow::{Result, ensure};
use portcullis_tests::{paths, process::Process};
use tempfile::TempDir;

use super::{Contestant, Running, on_a_free_port, wait_until_open};

pub(super) fn start(server: SocketAddr) -> Result<Running> {
    let node = paths::on_path("node")?;
    let program = installed()?;
    on_a_free_port(|address| {
        let directory: TempDir = tempfile::Builder::new()
            .prefix("portcullis-haraka-")
            .tempdir()?;
        write_configuration(&directory.path().join("config"), address, server)?;
        fs::create_dir(directory.path().join("queue"))?;
        let mut command = Command::new(&node);
        command
            .arg(program.join("bin/haraka"))
            .arg("-c")
            .arg(directory.path());
        let log = directory.path().join("haraka.log");
        let mut process = Process::start("haraka", command, &log)?;
        wait_until_open(&mut process, address)?;
        let root = process.id();
        Ok(Running::new(
            Contestant::Haraka,
            address,
            root,
            (process, directory),
        ))
    })
}

/// Where `make setup-bench` puts it.
fn installed() -> Result<PathBuf> {
    let told = env::var_os("PORTCULLIS_HARAKA").map(PathBuf::from);
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/portcullis/haraka"));
    let place = told.or(home).unwrap_or_default();
    let program = place.join("node_modules/Haraka");
    ensure!(
        program.join("bin/haraka").is_file(),
        "Haraka is not at {}: run `make setup-bench`, or set PORTCULLIS_HARAKA",
        program.display()
    );
    Ok(program)
}

/// Its own defaults where they are not about where mail comes from and goes to: it checks nothing
/// about senders, and adds no header.
fn write_configuration(
    config: &std::path::Path,
    address: SocketAddr,
    server: SocketAddr,
) -> Result<()> {
    let files = [
        (
            "smtp.ini",
            format!("listen={address}\nnodes=0\ninactivity_timeout=660\n"),
        ),
        ("plugins", "rcpt_to.in_host_list\nqueue/smtp_proxy\n".to_owned()),
        ("host_list", "example.test\n".to_owned()),
        ("me", "mx.example.test\n".to_owned()),
        (
            "smtp_proxy.ini",
            format!("host={}\nport={}\n", server.ip(), server.port()),
        ),
        ("log.ini", "[main]\nlevel=warn\n".to_owned()),
        (
            "connection.ini",
            "[main]\n[haproxy]\nhosts[] =\n[headers]\nadd_received=false\nclean_auth_results=false\n\
             max_lines=1000\nmax_received=100\n[max]\nbytes=209715200\nmime_parts=1000\n\
             line_length=512\ndata_line_length=992\n[message]\n[uuid]\nbanner_chars=6\ndeny_chars=0\n"
                .to_owned(),
        ),
        ("internalcmd_key", "bench\n".to_owned()),
    ];
    fs::create_dir_all(config)?;
    for (name, text) in files {
        fs::write(config.join(name), text)?;
    }
    Ok(())
}
