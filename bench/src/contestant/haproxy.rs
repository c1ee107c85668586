//! HAProxy as a guard of connections: a stick table counts them by client.

use std::{fs, net::SocketAddr, process::Command};

use anyhow::Result;
use portcullis_tests::{paths, process::Process};
use tempfile::TempDir;

use super::{Contestant, Running, on_a_free_port, wait_until_open};
use crate::usage::most_proxied;

/// Connections of one client at once, as many as the guard allows by default.
const AT_ONCE: u32 = 50;

/// What the server is told of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToServer {
    /// Nothing.
    Plain,
    /// Its address, by the PROXY protocol.
    Proxy,
}

pub(super) fn start(server: SocketAddr, workers: usize) -> Result<Running> {
    let limits = format!("tcp-request connection reject if {{ sc0_conn_cur gt {AT_ONCE} }}");
    start_limiting(server, workers, &limits, ToServer::Plain)
}

/// HAProxy that turns connections away by these rules over `sc0_conn_cur` and `sc0_conn_rate`.
pub(crate) fn start_limiting(
    server: SocketAddr,
    workers: usize,
    limits: &str,
    to_server: ToServer,
) -> Result<Running> {
    on_a_free_port(|address| {
        let directory: TempDir = tempfile::Builder::new()
            .prefix("portcullis-haproxy-")
            .tempdir()?;
        let file = directory.path().join("haproxy.cfg");
        fs::write(
            &file,
            configuration(address, server, workers, limits, to_server)?,
        )?;
        let mut command = Command::new(paths::on_path("haproxy")?);
        command.arg("-db").arg("-f").arg(&file);
        let log = directory.path().join("haproxy.log");
        let mut process = Process::start("haproxy", command, &log)?;
        wait_until_open(&mut process, address)?;
        let root = process.id();
        Ok(Running::new(
            Contestant::Haproxy,
            address,
            root,
            (process, directory),
        ))
    })
}

fn configuration(
    address: SocketAddr,
    server: SocketAddr,
    workers: usize,
    limits: &str,
    to_server: ToServer,
) -> Result<String> {
    // Each takes two files, and it does not start if it may not have them all.
    let most = most_proxied()?;
    let header = match to_server {
        ToServer::Plain => "",
        ToServer::Proxy => " send-proxy",
    };
    Ok(format!(
        "global\n    maxconn {most}\n    nbthread {workers}\n    log stdout format raw local0\n\
         defaults\n    mode tcp\n    log global\n    option tcplog\n    timeout connect 5s\n    \
         timeout client 11m\n    timeout server 11m\n    backlog 4096\n\
         frontend smtp\n    bind {address}\n    \
         stick-table type ip size 100k expire 1h store conn_cur,conn_rate(60s)\n    \
         tcp-request connection track-sc0 src\n    {limits}\n    \
         default_backend mta\n\
         backend mta\n    server mta {server}{header}\n"
    ))
}
