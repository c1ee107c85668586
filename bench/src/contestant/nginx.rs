//! nginx in its two parts: as a proxy of TCP, and as one of mail.

use std::{fs, net::SocketAddr, process::Command};

use anyhow::{Context, Result};
use portcullis_tests::{paths, process::Process};
use tempfile::TempDir;

use super::{AuthResponder, Contestant, Running, on_a_free_port, wait_until_open};

const MODULES: &str = "/usr/lib/nginx/modules";

pub(super) fn start_stream(server: SocketAddr, workers: usize) -> Result<Running> {
    start(
        Contestant::NginxStream,
        "ngx_stream_module.so",
        workers,
        |address, at| {
            format!(
                "stream {{\n\
             log_format basic '$remote_addr $status $bytes_sent $bytes_received $session_time';\n\
             access_log {at}/access.log basic;\n\
             proxy_timeout 11m;\n\
             server {{ listen {address} backlog=4096; proxy_pass {server}; }}\n}}\n"
            )
        },
    )
}

/// Without authentication it asks where a mail goes at its first recipient, and hears of it by HTTP.
pub(super) fn start_mail(
    server: SocketAddr,
    auth: &AuthResponder,
    workers: usize,
) -> Result<Running> {
    let url = auth.url_for(server);
    start(
        Contestant::NginxMail,
        "ngx_mail_module.so",
        workers,
        |address, _| {
            format!(
                "mail {{\n\
             server_name mx.example.test;\n\
             auth_http {url};\n\
             proxy_timeout 11m;\n\
             timeout 11m;\n\
             server {{\n listen {address} backlog=4096;\n protocol smtp;\n smtp_auth none;\n \
             smtp_capabilities 8BITMIME PIPELINING CHUNKING;\n xclient off;\n }}\n}}\n"
            )
        },
    )
}

fn start(
    contestant: Contestant,
    module: &str,
    workers: usize,
    block: impl Fn(SocketAddr, &str) -> String,
) -> Result<Running> {
    let program = paths::on_path("nginx")?;
    fs::metadata(format!("{MODULES}/{module}"))
        .with_context(|| format!("{MODULES}/{module} is not there: run `make setup-bench`"))?;
    on_a_free_port(|address| {
        let directory: TempDir = tempfile::Builder::new()
            .prefix("portcullis-nginx-")
            .tempdir()?;
        let at = directory.path().display().to_string();
        let text = format!(
            "load_module {MODULES}/{module};\ndaemon off;\nworker_processes {workers};\n\
             pid {at}/nginx.pid;\nerror_log {at}/error.log crit;\nworker_rlimit_nofile 20000;\n\
             events {{ worker_connections 20000; }}\n{}",
            block(address, &at)
        );
        let file = directory.path().join("nginx.conf");
        fs::write(&file, text)?;
        let mut command = Command::new(&program);
        command.arg("-c").arg(&file).arg("-p").arg(&at);
        command.args(["-e", &format!("{at}/error.log")]);
        let log = directory.path().join("nginx.out");
        let mut process = Process::start("nginx", command, &log)?;
        wait_until_open(&mut process, address)?;
        let root = process.id();
        Ok(Running::new(
            contestant,
            address,
            root,
            (process, directory),
        ))
    })
}
