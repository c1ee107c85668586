//! A TCP load balancer before the replicas, as a cloud's would be: HAProxy, which tells clients'
//! addresses by the PROXY protocol and sends nobody to a pod that says it is not ready.

use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, SocketAddr},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    Error,
    deadline::{PATIENCE, Seen, wait_for},
    paths,
    process::Process,
};

/// The ports of a pod: mail behind a balancer, and its state.
const MAIL: u16 = 2526;
const STATUS: u16 = 9902;

/// A running balancer; dropping it ends it.
#[derive(Debug)]
pub struct Balancer {
    process: Process,
    address: SocketAddr,
    statistics: SocketAddr,
    _directory: TempDir,
}

impl Balancer {
    /// Listens on `address`, before pods at these addresses, of which any may come and go.
    ///
    /// # Errors
    /// [`Error::Missing`] if HAProxy is not installed, [`Error::Ended`] with its log if it gives up.
    pub fn before(pods: &[IpAddr], address: IpAddr) -> Result<Self, Error> {
        let made = tempfile::Builder::new()
            .prefix("portcullis-balancer-")
            .tempdir();
        let directory = made.map_err(Error::file(std::env::temp_dir()))?;
        let (mail, statistics) = (
            SocketAddr::new(address, 2500),
            SocketAddr::new(address, 2501),
        );
        let file = directory.path().join("haproxy.cfg");
        let text = configuration(pods, mail, statistics);
        fs::write(&file, text).map_err(Error::file(&file))?;
        let mut command = Command::new(paths::on_path("haproxy")?);
        command.arg("-db").arg("-f").arg(&file);
        let log = directory.path().join("haproxy.log");
        let mut process = Process::start("haproxy", command, &log)?;
        wait_for("the balancer to listen", PATIENCE, || {
            process.still_runs()?;
            Ok(match std::net::TcpStream::connect(statistics) {
                Ok(_) => Seen::Done(()),
                Err(error) => Seen::NotYet(error.to_string()),
            })
        })?;
        Ok(Self {
            process,
            address: mail,
            statistics,
            _directory: directory,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits until just these pods are sent clients.
    ///
    /// # Errors
    /// [`Error::Late`] with the pods that are.
    pub fn wait_for_pods(&self, pods: &[IpAddr], within: Duration) -> Result<(), Error> {
        let mut wanted: Vec<String> = pods.iter().map(ToString::to_string).collect();
        wanted.sort();
        wait_for(&format!("clients to be sent to {wanted:?}"), within, || {
            let mut up = self.up();
            up.sort();
            Ok(match up == wanted {
                true => Seen::Done(()),
                false => Seen::NotYet(format!("{up:?}")),
            })
        })
    }

    /// The pods that it takes for ready.
    fn up(&self) -> Vec<String> {
        let page = ureq::get(format!("http://{}/;csv", self.statistics)).call();
        let page = page.and_then(|mut page| page.body_mut().read_to_string());
        let page = page.unwrap_or_default();
        let server = |line: &str| {
            let fields: Vec<&str> = line.split(',').collect();
            let (name, state) = (fields.get(1)?, fields.get(17)?);
            (fields.first() == Some(&"pods") && state.starts_with("UP"))
                .then(|| name.strip_prefix("pod-").map(str::to_owned))?
        };
        page.lines().filter_map(server).collect()
    }
}

fn configuration(pods: &[IpAddr], mail: SocketAddr, statistics: SocketAddr) -> String {
    let mut text = format!(
        "global\n    maxconn 4000\n\
         defaults\n    mode tcp\n    timeout connect 1s\n    timeout check 500ms\n    \
         timeout client 15m\n    timeout server 15m\n    retries 3\n    option redispatch 1\n\
         frontend statistics\n    mode http\n    timeout client 5s\n    bind {statistics}\n    \
         stats enable\n    stats uri /\n\
         frontend mail\n    bind {mail}\n    default_backend pods\n\
         backend pods\n    balance roundrobin\n    option httpchk\n    \
         http-check send meth GET uri /ready ver HTTP/1.1 hdr Host pod\n    \
         default-server send-proxy-v2 check port {STATUS} inter 200ms rise 1 fall 2\n"
    );
    for pod in pods {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    server pod-{pod} {pod}:{MAIL}");
    }
    text
}
