//! One pod of the guard, as the manifests describe it, on a loopback address of its own.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{Container, Manifests, manifests::lacks};
use crate::{
    Error,
    deadline::{PATIENCE, Seen, wait_for},
    envoy::{Admin, render::set},
    paths,
    process::Process,
};

const CONFIGURATION: &str = "/etc/portcullis/envoy.yaml";
const CERTIFICATE: &str = "/etc/portcullis/certificate.yaml";
const SOCKET: &str = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address";

/// What the names of the cluster lead to here.
#[derive(Debug, Clone, Copy)]
pub struct Services {
    /// The mail server.
    pub mail_server: SocketAddr,
    /// The resolver.
    pub resolver: SocketAddr,
    /// Webdis.
    pub store: SocketAddr,
}

/// A running pod; dropping it ends it.
#[derive(Debug)]
pub struct Replica {
    process: Process,
    admin: Admin,
    address: IpAddr,
    container: Container,
}

impl Replica {
    /// A loopback address that no other replica on this machine has, or had in this process: pods
    /// have the same ports, and Envoy would share them with another one without a word.
    #[must_use]
    pub fn own_address() -> IpAddr {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let [.., high, low] = std::process::id().to_be_bytes();
        let last = NEXT.fetch_add(1, Ordering::Relaxed);
        Ipv4Addr::new(127, high | 0x80, low, last).into()
    }

    /// Starts the guard's container and waits until it is ready.
    ///
    /// # Errors
    /// [`Error::Ended`] with Envoy's words if it refuses the configuration.
    pub fn start(
        manifests: &Manifests,
        address: IpAddr,
        services: &Services,
    ) -> Result<Self, Error> {
        let container = Self::container(manifests, address, services)?;
        let words = container.words("");
        let arguments = words.iter().skip(1);
        let mut command = Command::new(paths::envoy()?);
        command
            .args(arguments.map(|word| word.replace("$(POD_NAME)", &format!("pod-{address}"))))
            .args(["--file-flush-interval-msec", "20"]);
        let log = container.path("envoy.log");
        let mut process = Process::start("envoy", command, &log)?;
        let admin = Admin::at(SocketAddr::new(address, 9901));
        wait_for("a pod of the guard to be ready", PATIENCE, || {
            process.still_runs()?;
            Ok(match admin.ready() {
                true => Seen::Done(()),
                false => Seen::NotYet(String::new()),
            })
        })?;
        Ok(Self {
            process,
            admin,
            address,
            container,
        })
    }

    /// The container with its configuration made one of this machine.
    ///
    /// # Errors
    /// [`Error::Content`] or [`Error::Template`] if the manifests lack a part.
    pub fn container(
        manifests: &Manifests,
        address: IpAddr,
        services: &Services,
    ) -> Result<Container, Error> {
        let container = Container::of(manifests, "Deployment", "portcullis", "envoy")?;
        rewrite(&container, CONFIGURATION, |tree| {
            localise(tree, &container, address, services)
        })?;
        if container.path(CERTIFICATE).exists() {
            rewrite(&container, CERTIFICATE, |tree| {
                place_files(tree, &container);
                Ok(())
            })?;
        }
        Ok(container)
    }

    /// Where an absolute path of its container is here.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        self.container.path(inside)
    }

    /// The address and port of one of its ports, by its name.
    ///
    /// # Errors
    /// [`Error::Content`] if the container has no such port.
    pub fn port(&self, name: &str) -> Result<SocketAddr, Error> {
        Ok(SocketAddr::new(self.address, self.container.port(name)?))
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

    /// Its access log.
    #[must_use]
    pub fn access_log(&self) -> PathBuf {
        self.container.path("access.log")
    }

    /// Ends it as Kubernetes does: the preStop hook, then SIGTERM. Returns once it has ended.
    ///
    /// # Errors
    /// [`Error::Late`] if the hook does not come back within the pod's own time.
    pub fn terminate(mut self, within: Duration) -> Result<(), Error> {
        self.drain()?.wait(within)?;
        self.process.signal(Signal::SIGTERM)?;
        self.process.wait(PATIENCE).map(drop)
    }

    /// Starts the preStop hook.
    ///
    /// # Errors
    /// [`Error::Spawn`] if it cannot be started.
    pub fn drain(&self) -> Result<Process, Error> {
        let words = self.container.words("/lifecycle/preStop/exec");
        let (program, arguments) = words.split_first().ok_or_else(|| lacks("preStop hook"))?;
        let mut command = Command::new(program);
        command.args(arguments);
        // In a pod the administration interface is on loopback itself.
        command.env("PORTCULLIS_ADMIN", self.address.to_string());
        // There is no load balancer here that learns slowly.
        command.env("PORTCULLIS_DRAIN_SETTLE", "1");
        Process::start("drain.sh", command, &self.container.path("drain.log"))
    }
}

/// Changes one of a container's files that are YAML.
fn rewrite(
    container: &Container,
    inside: &str,
    change: impl FnOnce(&mut Value) -> Result<(), Error>,
) -> Result<(), Error> {
    let path = container.path(inside);
    let tree = serde_saphyr::from_str(&container.read(inside)?);
    let mut tree: Value = tree.map_err(|error| Error::Content {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    change(&mut tree)?;
    fs::write(&path, format!("{tree:#}\n")).map_err(Error::file(path))
}

/// Puts a pod's configuration on one loopback address, and this machine's services in the place of
/// the cluster's. Everything else stays.
fn localise(
    tree: &mut Value,
    container: &Container,
    address: IpAddr,
    services: &Services,
) -> Result<(), Error> {
    let ip = json!(address);
    set(tree, "/admin/address/socket_address/address", ip.clone())?;
    for listener in entries(tree, "/static_resources/listeners")? {
        if listener.get("internal_listener").is_none() {
            set(listener, "/address/socket_address/address", ip.clone())?;
        }
    }
    for cluster in entries(tree, "/static_resources/clusters")? {
        let name = cluster.get("name").and_then(Value::as_str);
        let to = match name.unwrap_or_default() {
            "mta" | "mta_told_the_client" => services.mail_server,
            "dnsbl" => services.resolver,
            "portcullis_store" => services.store,
            "portcullis_admin" => SocketAddr::new(address, 9901),
            _ => continue,
        };
        let socket = json!({ "address": to.ip(), "port_value": to.port() });
        set(cluster, SOCKET, socket)?;
    }
    place_files(tree, container);
    Ok(())
}

/// Makes every path of a mounted file one of here, and the access log a file.
fn place_files(tree: &mut Value, container: &Container) {
    match tree {
        Value::String(word) if word == "/dev/stdout" => {
            *word = container.path("access.log").display().to_string();
        }
        Value::String(word) => *word = container.here(word),
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| place_files(item, container)),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|field| place_files(field, container)),
        _ => {}
    }
}

fn entries<'a>(
    tree: &'a mut Value,
    pointer: &str,
) -> Result<impl Iterator<Item = &'a mut Value>, Error> {
    let list = tree.pointer_mut(pointer).and_then(Value::as_array_mut);
    Ok(list.ok_or_else(|| lacks(pointer))?.iter_mut())
}
