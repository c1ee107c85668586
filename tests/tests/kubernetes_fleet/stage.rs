//! Three replicas of the manifests behind a balancer, with all that they need.

use std::{collections::BTreeMap, fs, net::IpAddr, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use portcullis_tests::{
    dnsbl::{DohServer, Rbldnsd, Resolver, Zone},
    fleet::Store,
    kubernetes::{Balancer, Container, Manifests, Replica, Services},
    paths,
    postfix::{Postfix, Service},
    process::Process,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take that has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const LIST: &str = "bl.example.test";

/// An overlay of an operator's own, with a policy that can be changed.
pub(crate) struct Overlay {
    directory: TempDir,
}

impl Overlay {
    /// A copy of the manifests, and beside it an overlay.
    pub(crate) fn new() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("overlay-").tempdir()?;
        let copied = Command::new("cp")
            .arg("-r")
            .arg(paths::kubernetes())
            .arg(directory.path().join("kubernetes"))
            .status()?;
        ensure!(copied.success(), "cp: {copied}");
        let own = directory.path().join("kubernetes/overlays/own");
        fs::create_dir_all(own.join("policy"))?;
        let write = |file: &str, value: Value| fs::write(own.join(file), value.to_string());
        write(
            "kustomization.yaml",
            json!({
                "resources": ["../../base"],
                "components": ["policy", "../../components/settings"],
            }),
        )?;
        write(
            "policy/kustomization.yaml",
            json!({
                "apiVersion": "kustomize.config.k8s.io/v1alpha1",
                "kind": "Component",
                "configMapGenerator": [
                    { "name": "portcullis-settings", "behavior": "merge", "files": ["policy.json"] }
                ],
            }),
        )?;
        Ok(Self { directory })
    }

    /// The manifests with this many guesses in a row allowed.
    pub(crate) fn with(&self, max_consecutive: u32) -> Result<Manifests> {
        let policy = json!({
            "rcpt": { "max_consecutive": max_consecutive },
            "attack": { "detect": "off" },
            "dnsbl": { "sites": [LIST], "reserved": "ask" },
            "fleet": {
                "cluster": "portcullis_store",
                "authority": "portcullis-store",
                "poll_ms": 100
            },
        });
        let own = self.directory.path().join("kubernetes/overlays/own");
        // Kustomize puts it between two lines.
        fs::write(own.join("policy/policy.json"), format!("{policy}\n"))?;
        Ok(Manifests::build(&own)?)
    }
}

/// All that is outside the guard's pods.
pub(crate) struct Stage {
    /// The mail server.
    pub(crate) postfix: Postfix,
    /// The lists' server.
    _lists: Rbldnsd,
    /// The resolver.
    pub(crate) resolver: DohServer,
    /// Redis and Webdis.
    pub(crate) store: Store,
    /// Before the pods.
    pub(crate) balancer: Balancer,
    /// Addresses that pods may have.
    pub(crate) addresses: Vec<IpAddr>,
    /// What the pods are told.
    pub(crate) services: Services,
}

impl Stage {
    /// Starts everything but the pods, for which there is room for twice three.
    pub(crate) fn set(manifests: &Manifests) -> Result<Self> {
        let postfix = Postfix::start()?;
        let lists = Rbldnsd::serving(&[Zone::new(LIST)])?;
        let resolver = Resolver::Unbound.before(lists.address(), LIST)?;
        let redis = Container::of(manifests, "StatefulSet", "portcullis-store", "redis")?;
        let read = |name: &str| redis.read(&format!("/etc/portcullis/{name}"));
        let redis_conf = read("redis.conf")?.replace("dir /data", "");
        let store = Store::configured(redis_conf, serde_json::from_str(&read("webdis.json")?)?)?;
        let addresses: Vec<IpAddr> = (0..6).map(|_| Replica::own_address()).collect();
        let balancer = Balancer::before(&addresses, Replica::own_address())?;
        let services = Services {
            mail_server: postfix.address(Service::Unknown550),
            resolver: resolver.address(),
            store: store.address(),
        };
        Ok(Self {
            postfix,
            _lists: lists,
            resolver,
            store,
            balancer,
            addresses,
            services,
        })
    }

    /// Starts pods at some of the addresses and waits until clients are sent to all that run.
    pub(crate) fn start(
        &self,
        manifests: &Manifests,
        pods: &mut BTreeMap<IpAddr, Replica>,
        at: &[IpAddr],
    ) -> Result<()> {
        self.start_beside(manifests, pods, at, &BTreeMap::new())
    }

    /// The same while others still run.
    pub(crate) fn start_beside(
        &self,
        manifests: &Manifests,
        pods: &mut BTreeMap<IpAddr, Replica>,
        at: &[IpAddr],
        others: &BTreeMap<IpAddr, Replica>,
    ) -> Result<()> {
        for address in at {
            let pod = Replica::start(manifests, *address, &self.services)?;
            pods.insert(*address, pod);
        }
        let running: Vec<IpAddr> = pods.keys().chain(others.keys()).copied().collect();
        Ok(self.balancer.wait_for_pods(&running, PATIENCE)?)
    }

    /// Waits until clients are sent to these pods only.
    pub(crate) fn wait_for(&self, pods: &BTreeMap<IpAddr, Replica>) -> Result<()> {
        let running: Vec<IpAddr> = pods.keys().copied().collect();
        Ok(self.balancer.wait_for_pods(&running, PATIENCE)?)
    }

    /// How often Postfix took each message, by its id.
    pub(crate) fn taken(&self) -> Result<BTreeMap<String, usize>> {
        let mut counts = BTreeMap::new();
        for line in self.postfix.log().text()?.lines() {
            if let Some((_, rest)) = line.split_once("message-id=<") {
                let id = rest.split('>').next().context("no end of a message's id")?;
                *counts.entry(id.to_owned()).or_default() += 1;
            }
        }
        Ok(counts)
    }
}

/// Runs the preStop hook of each of these pods, at the same time.
pub(crate) fn drain(pods: &BTreeMap<IpAddr, Replica>) -> Result<Vec<(IpAddr, Process)>> {
    let hooks = pods
        .iter()
        .map(|(address, pod)| Ok((*address, pod.drain()?)));
    hooks.collect()
}
