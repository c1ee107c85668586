//! The image of the filter: two builds are one, and what a registry gives back is what was put in.
#![allow(
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use portcullis_tests::{
    deadline::{PATIENCE, Seen, wait_for},
    dnsbl::free_port,
    envoy::{EnvoyConfig, Guard},
    paths,
    postfix::{Postfix, Service},
    process::Process,
    smtp::Client,
    stand::rcpt,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs a command and returns what it wrote.
fn run(command: &mut Command) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&stderr);
    ensure!(status.success(), "{command:?}: {said}");
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// Builds the image into a directory; its digest.
fn image(directory: &Path) -> Result<String> {
    image_with(&[], directory)
}

fn image_with(options: &[&str], directory: &Path) -> Result<String> {
    let script = paths::repository().join("scripts/image");
    run(Command::new(script)
        .args(options)
        .arg(paths::wasm()?)
        .arg(directory)
        .arg("--locked"))?;
    Ok(fs::read_to_string(directory.join("digest"))?.trim().into())
}

/// A registry on loopback, empty.
struct Registry {
    _process: Process,
    address: SocketAddr,
    _directory: TempDir,
}

impl Registry {
    fn start() -> Result<Self> {
        let directory = TempDir::new()?;
        let address = free_port()?;
        let configuration = json!({
            "version": 0.1,
            "log": { "level": "error" },
            "storage": { "filesystem": { "rootdirectory": directory.path().join("data") } },
            "http": { "addr": address.to_string() },
        });
        let file = directory.path().join("registry.yaml");
        fs::write(&file, configuration.to_string())?;
        let mut command = Command::new(paths::on_path("docker-registry")?);
        command.arg("serve").arg(&file);
        let log = directory.path().join("log");
        let mut process = Process::start("docker-registry", command, &log)?;
        wait_for("an answer from the registry", PATIENCE, || {
            process.still_runs()?;
            Ok(match ureq::get(format!("http://{address}/v2/")).call() {
                Ok(_) => Seen::Done(()),
                Err(error) => Seen::NotYet(error.to_string()),
            })
        })?;
        Ok(Self {
            _process: process,
            address,
            _directory: directory,
        })
    }

    /// How skopeo names what is there.
    fn name(&self) -> String {
        format!("docker://{}/portcullis:test", self.address)
    }
}

fn skopeo() -> Result<Command> {
    Ok(Command::new(paths::on_path("skopeo")?))
}

#[test]
fn two_builds_are_one_and_come_back_from_a_registry_whole() -> Result<()> {
    let directory = TempDir::new()?;
    let (first, second) = (directory.path().join("1"), directory.path().join("2"));
    let digest = image(&first)?;
    assert_eq!(image(&second)?, digest);

    let registry = Registry::start()?;
    let version = env!("CARGO_PKG_VERSION");
    let built = format!("oci:{}:{version}", first.join("oci").display());
    run(skopeo()?
        .args(["copy", "--quiet", "--all", "--dest-tls-verify=false"])
        .args([&built, &registry.name()]))?;
    let by_digest = format!("docker://{}/portcullis@{digest}", registry.address);
    for architecture in ["amd64", "arm64"] {
        let inspected = run(skopeo()?
            .args(["inspect", "--tls-verify=false", "--override-arch"])
            .args([architecture, &by_digest]))?;
        let inspected: Value = serde_json::from_str(&inspected)?;
        assert_eq!(inspected["Architecture"], architecture);
        let layers = inspected["Layers"].as_array().map(Vec::len);
        assert_eq!(layers, Some(1), "the form wants one layer");
        let labels = &inspected["Labels"];
        assert_eq!(labels["org.opencontainers.image.version"], version);
        assert_eq!(labels["org.opencontainers.image.licenses"], "Apache-2.0");
        let revision = labels["org.opencontainers.image.revision"].as_str();
        ensure!(revision.is_some_and(|text| text.len() >= 40), "{labels}");
        let raw = run(skopeo()?
            .args(["inspect", "--raw", "--tls-verify=false", "--override-arch"])
            .args([architecture, &manifest(&registry, &digest, architecture)?]))?;
        let raw: Value = serde_json::from_str(&raw)?;
        let annotations = &raw["annotations"];
        assert_eq!(annotations["module.wasm.image/variant"], "compat");
        assert_eq!(annotations["portcullis.sbom"], "/sbom.cdx.json");
    }

    // The init container's own way to the filter, by the digest.
    let fetch = paths::kubernetes().join("components/init-container/fetch.sh");
    run(Command::new("sh")
        .arg(fetch)
        .args([&by_digest, &directory.path().display().to_string()])
        .arg("--src-tls-verify=false"))?;
    let pulled = directory.path().join("plugin.wasm");
    ensure!(fs::read(&pulled)? == fs::read(paths::wasm()?)?);
    guards(&pulled)
}

/// The name of the manifest for one architecture.
fn manifest(registry: &Registry, index: &str, architecture: &str) -> Result<String> {
    let at = registry.address;
    let index = format!("docker://{at}/portcullis@{index}");
    let raw = run(skopeo()?.args(["inspect", "--raw", "--tls-verify=false", &index]))?;
    let raw: Value = serde_json::from_str(&raw)?;
    let mut manifests = raw["manifests"].as_array().into_iter().flatten();
    let one = manifests.find(|one| one["platform"]["architecture"] == architecture);
    let digest = one.and_then(|one| one["digest"].as_str());
    let digest = digest.with_context(|| format!("no {architecture} in {raw}"))?;
    Ok(format!("docker://{at}/portcullis@{digest}"))
}

/// Whether a filter cuts a session at its fifth guess.
fn guards(wasm: &Path) -> Result<()> {
    let postfix = Postfix::start()?;
    let guard = Guard::Present {
        wasm: wasm.to_path_buf(),
        policy: json!({}),
    };
    let envoy = EnvoyConfig::before(postfix.address(Service::Unknown550), guard).start()?;
    let mut client = Client::greeted(envoy.address())?;
    client.command("EHLO client.example.org")?;
    client.command("MAIL FROM:<sender@example.org>")?;
    let codes: Result<Vec<u16>, _> = (1..=5)
        .map(|guess| Ok(client.command(&rcpt(&format!("guess{guess}")))?.code))
        .collect::<Result<_, portcullis_tests::Error>>();
    assert_eq!(codes?, [550, 550, 550, 550, 421]);
    Ok(())
}

#[test]
fn the_image_with_the_module_has_both_and_is_reproducible() -> Result<()> {
    let directory = TempDir::new()?;
    let module = paths::starttls()?.display().to_string();
    let options = ["--module", module.as_str()];
    let (first, second) = (directory.path().join("1"), directory.path().join("2"));
    let digest = image_with(&options, &first)?;
    assert_eq!(image_with(&options, &second)?, digest);
    for bill in ["sbom.cdx.json", "sbom-starttls.cdx.json"] {
        ensure!(first.join(bill).exists(), "no {bill}");
    }

    let registry = Registry::start()?;
    let version = env!("CARGO_PKG_VERSION");
    let built = format!("oci:{}:{version}-starttls", first.join("oci").display());
    run(skopeo()?
        .args(["copy", "--quiet", "--all", "--dest-tls-verify=false"])
        .args([&built, &registry.name()]))?;
    let fetch = paths::kubernetes().join("components/init-container/fetch.sh");
    run(Command::new("sh")
        .arg(fetch)
        .args([&registry.name(), &directory.path().display().to_string()])
        .arg("--src-tls-verify=false"))?;
    for (pulled, built) in [
        ("plugin.wasm", paths::wasm()?),
        ("libportcullis_starttls.so", paths::starttls()?),
    ] {
        let pulled = directory.path().join(pulled);
        ensure!(fs::read(&pulled)? == fs::read(built)?, "{pulled:?}");
    }
    Ok(())
}

/// What Envoy's own image has is glibc 2.35.
#[test]
fn the_module_runs_in_envoys_image() -> Result<()> {
    let symbols = run(Command::new(paths::on_path("objdump")?)
        .arg("-T")
        .arg(paths::starttls()?))?;
    let versions = symbols.split("GLIBC_2.").skip(1).filter_map(|rest| {
        let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
        digits.parse::<u32>().ok()
    });
    let newest = versions.max().context("no versions in what objdump says")?;
    ensure!(newest <= 35, "it needs glibc 2.{newest}");
    Ok(())
}

#[test]
fn the_bill_of_materials_names_what_is_linked_and_nothing_else() -> Result<()> {
    let directory = TempDir::new()?;
    image(&directory.path().join("image"))?;
    let text = fs::read_to_string(directory.path().join("image/sbom.cdx.json"))?;
    let bill: Value = serde_json::from_str(&text)?;
    let components = bill["components"].as_array().into_iter().flatten();
    let names: Vec<&str> = components
        .filter_map(|component| component["name"].as_str())
        .collect();
    for linked in ["portcullis-core", "proxy-wasm", "serde_json", "memchr"] {
        ensure!(names.contains(&linked), "no {linked} in {names:?}");
    }
    for absent in ["proptest", "serde_derive", "syn", "wasmtime", "tokio"] {
        ensure!(!names.contains(&absent), "{absent} in {names:?}");
    }
    Ok(())
}
