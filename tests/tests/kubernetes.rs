//! The manifests without a cluster: they build, they are valid for three versions of Kubernetes,
//! and nothing in them is insecure that need not be.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "tests say what they expect by failing"
)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    sync::OnceLock,
};

use anyhow::{Context, Result, bail, ensure};
use portcullis_tests::{
    Error,
    kubernetes::{Container, Generated, Manifests, generate},
    paths,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const OVERLAYS: [&str; 7] = [
    "demo",
    "existing-redis",
    "init-container",
    "monitoring",
    "observe",
    "proxy-protocol",
    "starttls",
];

/// Groups of resources that Kubernetes itself does not have.
const CUSTOM: [&str; 4] = [
    "istio.io/",
    "monitoring.coreos.com/",
    "gateway.envoyproxy.io/",
    "gateway.networking.k8s.io/",
];

/// Every directory that somebody may apply, and what it builds to.
fn built() -> Result<&'static [(String, Manifests)]> {
    type Built = Result<Vec<(String, Manifests)>, Error>;
    static BUILT: OnceLock<Built> = OnceLock::new();
    let overlays = OVERLAYS.map(|name| format!("kubernetes/overlays/{name}"));
    let others = [
        "kubernetes/base",
        "istio/wasm-plugin",
        "istio/envoy-filter",
        "envoy-gateway",
    ];
    let all = overlays.into_iter().chain(others.map(str::to_owned));
    let build = |name: String| {
        let directory = paths::repository().join("envoy").join(&name);
        Ok((name, Manifests::build(&directory)?))
    };
    match BUILT.get_or_init(|| all.map(build).collect()) {
        Ok(built) => Ok(built),
        Err(error) => bail!("{error}"),
    }
}

/// What one of them builds to.
fn of(name: &str) -> Result<&'static Manifests> {
    let found = built()?.iter().find(|(one, _)| one == name);
    let (_, manifests) = found.with_context(|| format!("{name} is not built"))?;
    Ok(manifests)
}

fn overlay(name: &str) -> Result<&'static Manifests> {
    of(&format!("kubernetes/overlays/{name}"))
}

fn is_custom(object: &Value) -> bool {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    CUSTOM.iter().any(|group| version.contains(group))
}

/// The objects of all directories, each once, custom ones apart.
fn all_objects() -> Result<(Vec<Value>, Vec<Value>)> {
    let mut all: Vec<Value> = Vec::new();
    for (_, manifests) in built()? {
        for object in manifests.objects() {
            if !all.contains(object) {
                all.push(object.clone());
            }
        }
    }
    Ok(all.into_iter().partition(|object| !is_custom(object)))
}

/// Gives the objects to one of the checkers in `tests/kubernetes`; what it says, and whether it is
/// content.
fn check(objects: &[Value]) -> Result<(bool, String)> {
    let directory = TempDir::new()?;
    let file = directory.path().join("objects.json");
    fs::write(&file, serde_json::to_vec(objects)?)?;
    let tools = paths::kubernetes_tools()?;
    let programs = paths::repository().join("tests/kubernetes");
    let mut command = if objects.iter().all(is_custom) {
        let mut node = Command::new(paths::on_path("node")?);
        node.arg(programs.join("custom_resources.mjs"));
        node.arg(tools.join("crd-schemas"));
        node
    } else {
        let mut python = Command::new(tools.join("venv/bin/python"));
        python.arg(programs.join("validate.py"));
        python
    };
    let Output { status, stdout, .. } = command.arg(&file).output()?;
    Ok((
        status.success(),
        String::from_utf8_lossy(&stdout).into_owned(),
    ))
}

#[test]
fn what_is_kept_is_what_is_made() -> Result<()> {
    for Generated { path, text } in generate()? {
        let kept = fs::read_to_string(&path).unwrap_or_default();
        let path = path.display();
        ensure!(kept == text, "{path} is stale; mend: make manifests");
    }
    Ok(())
}

#[test]
fn every_overlay_is_tested() -> Result<()> {
    let mut found = Vec::new();
    for entry in fs::read_dir(paths::kubernetes().join("overlays"))? {
        found.push(entry?.file_name().into_string().unwrap_or_default());
    }
    found.sort();
    assert_eq!(found, OVERLAYS);
    Ok(())
}

#[test]
fn all_objects_are_valid_for_three_versions_of_kubernetes() -> Result<()> {
    let (own, custom) = all_objects()?;
    ensure!(own.len() >= 30 && custom.len() >= 10, "{}", own.len());
    for objects in [own, custom] {
        let (good, said) = check(&objects)?;
        ensure!(good && said.ends_with(" 0 faults\n"), "{said}");
    }
    Ok(())
}

#[test]
fn a_wrong_field_is_found_in_each_version() -> Result<()> {
    let base = of("kubernetes/base")?;
    let mut deployment = base.object("Deployment", "portcullis")?.clone();
    deployment["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = json!("Always");
    let (good, said) = check(&[deployment])?;
    assert!(
        !good && said.matches("imagePullPolice").count() == 3,
        "{said}"
    );
    Ok(())
}

#[test]
fn a_wrong_field_of_each_custom_resource_is_found() -> Result<()> {
    let (_, mut custom) = all_objects()?;
    for object in &mut custom {
        let spec = object["spec"].as_object_mut().context("no spec")?;
        spec.insert("notThere".into(), json!(true));
    }
    let (good, said) = check(&custom)?;
    assert!(!good);
    for object in &custom {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let kind = object["kind"].as_str().unwrap_or_default();
        let begin = format!("{kind} {name}: ");
        let mut lines = said.lines();
        let found = lines.any(|line| line.starts_with(&begin) && line.contains("notThere"));
        ensure!(found, "{begin}not found in\n{said}");
    }
    Ok(())
}

/// What nobody should apply.
const PLANTED: &str = "\
apiVersion: v1
kind: Pod
metadata: { name: planted }
spec:
  containers:
    - name: planted
      image: planted
      securityContext: { privileged: true }
";

/// Runs checkov over manifests written to a directory.
fn checkov(directory: &Path) -> Result<(bool, String)> {
    let checkov = paths::kubernetes_tools()?.join("venv/bin/checkov");
    let output = Command::new(checkov)
        .arg("--config-file")
        .arg(paths::kubernetes().join("checkov.yaml"))
        .arg("--directory")
        .arg(directory)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((output.status.success(), said))
}

#[test]
fn checkov_finds_nothing_but_what_was_planted() -> Result<()> {
    // Without a name of its own the directory would be a hidden one, which checkov passes over.
    let directory = tempfile::Builder::new().prefix("built-").tempdir()?;
    for name in OVERLAYS {
        let file = directory.path().join(format!("{name}.yaml"));
        fs::write(file, overlay(name)?.yaml())?;
    }
    // One run for both, since it takes its time: what is planted must be found, and nothing else.
    fs::write(directory.path().join("planted.yaml"), PLANTED)?;
    let (good, said) = checkov(directory.path())?;
    ensure!(!good && said.contains("CKV_K8S_16"), "{said}");
    let mut found = said
        .lines()
        .filter(|line| line.contains("FAILED for resource"));
    ensure!(found.all(|line| line.contains("planted")), "{said}");
    let passed = said.split("Passed checks: ").nth(1);
    let passed = passed.and_then(|rest| rest.split(',').next()?.parse::<usize>().ok());
    ensure!(passed.is_some_and(|count| count > 500), "{said}");
    Ok(())
}

#[test]
fn a_change_of_the_policy_rolls_the_pods_and_nothing_else() -> Result<()> {
    let (base, observe) = (of("kubernetes/base")?, overlay("observe")?);
    let differ: Vec<String> = base
        .objects()
        .iter()
        .filter(|object| !observe.objects().contains(object))
        .map(|object| format!("{} {}", object["kind"], object["metadata"]["name"]))
        .collect();
    let [configuration, deployment] = differ.as_slice() else {
        bail!("{differ:?}");
    };
    assert!(configuration.starts_with("\"ConfigMap\" \"portcullis-envoy-"));
    assert_eq!(deployment, "\"Deployment\" \"portcullis\"");
    Ok(())
}

#[test]
fn with_starttls_the_settings_reach_every_listener() -> Result<()> {
    let place = TempDir::new()?;
    let directory = place.path().join("mail");
    let envoy = paths::kubernetes().display().to_string();
    let copied = Command::new("cp")
        .args(["-r", &envoy])
        .arg(place.path())
        .status()?;
    ensure!(copied.success());
    fs::create_dir(&directory)?;
    let components = ["observe", "tell-the-server", "starttls", "settings"]
        .map(|name| format!("../kubernetes/components/{name}"));
    let components = [vec!["../address".to_owned()], components.to_vec()].concat();
    let overlay = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "portcullis",
        "resources": ["../kubernetes/base"],
        "components": components,
    });
    let component = json!({
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "configMapGenerator": [{
            "name": "portcullis-settings", "behavior": "merge", "files": ["address.json"],
        }],
    });
    let address = place.path().join("address");
    fs::create_dir(&address)?;
    fs::write(address.join("kustomization.yaml"), component.to_string())?;
    fs::write(address.join("address.json"), "\"::\"\n")?;
    fs::write(directory.join("kustomization.yaml"), overlay.to_string())?;

    let built = Manifests::build(&directory)?;
    let configuration = built.generated("ConfigMap", "portcullis-envoy")?;
    let text = configuration["data"]["envoy.yaml"].as_str().unwrap();
    let tree: Value = serde_saphyr::from_str(text)?;
    let listeners = tree["static_resources"]["listeners"].as_array().unwrap();
    let mut seen = Vec::new();
    for listener in listeners.iter().filter(|one| one.get("address").is_some()) {
        let name = listener["name"].as_str().unwrap_or_default();
        assert_eq!(listener["address"]["socket_address"]["address"], "::");
        seen.push(name);
        if name == "portcullis_status" {
            continue;
        }
        let chain = &listener["filter_chains"][0];
        let filters = chain["filters"].as_array().unwrap();
        let guard = filters
            .iter()
            .find(|one| one["name"] == "envoy.filters.network.wasm");
        let guard = guard.context("no guard")?;
        let policy = &guard["typed_config"]["config"]["configuration"]["value"];
        assert_eq!(policy["mode"], "observe", "{name}");
        let proxy = filters.last().context("no filter")?;
        assert_eq!(
            proxy["typed_config"]["cluster"], "mta_told_the_client",
            "{name}"
        );
        ensure!(chain.get("transport_socket").is_some(), "{name}");
    }
    assert_eq!(
        seen,
        ["smtp", "smtp_behind_proxy", "portcullis_status", "smtps"]
    );
    let deployment = built.object("Deployment", "portcullis")?;
    let volumes = deployment["spec"]["template"]["spec"]["volumes"].to_string();
    ensure!(volumes.contains("portcullis:0.1.0-starttls"), "{volumes}");
    Ok(())
}

/// A filter, listener or cluster in an object for Istio or Envoy Gateway, by its name.
fn embedded<'a>(tree: &'a Value, name: &str) -> Option<&'a Value> {
    match tree {
        Value::Object(fields) if fields.get("value").is_some_and(|at| at["name"] == name) => {
            fields.get("value")
        }
        Value::Object(fields) => fields.values().find_map(|field| embedded(field, name)),
        Value::Array(items) => items.iter().find_map(|item| embedded(item, name)),
        _ => None,
    }
}

#[test]
fn what_is_embedded_for_istio_and_envoy_gateway_is_that_of_envoy_yaml() -> Result<()> {
    let source: Value = serde_saphyr::from_str(&fs::read_to_string(paths::envoy_yaml())?)?;
    let named = |list: &Value, name: &str| {
        let items = list.as_array().into_iter().flatten();
        items.clone().find(|one| one["name"] == name).cloned()
    };
    let listeners = &source["static_resources"]["listeners"];
    let smtp = named(listeners, "smtp").context("no listener")?;
    let filters = &smtp["filter_chains"][0]["filters"];
    for directory in ["istio/envoy-filter", "envoy-gateway"] {
        let all = json!(of(directory)?.objects());
        for (list, name) in [
            (filters, "envoy.filters.network.wasm"),
            (listeners, "portcullis_echo"),
            (
                &source["static_resources"]["clusters"],
                "portcullis_refusals",
            ),
        ] {
            let mut here = embedded(&all, name).context(name)?.clone();
            let mut there = named(list, name).context(name)?;
            for one in [&mut here, &mut there] {
                // These differ from place to place.
                if let Some(config) = one.pointer_mut("/typed_config/config") {
                    config["configuration"]["value"] = Value::Null;
                    config["vm_config"]["code"] = Value::Null;
                }
            }
            assert_eq!(here, there, "{directory}: {name}");
        }
    }
    Ok(())
}

/// What Istio and Envoy Gateway put into the bootstrap of their Envoys.
fn bootstraps() -> Result<Vec<(&'static str, Value)>> {
    let mut found = Vec::new();
    for directory in ["istio/envoy-filter", "istio/wasm-plugin"] {
        let filter = of(directory)?.object("EnvoyFilter", "portcullis-metrics")?;
        let patch = &filter["spec"]["configPatches"][0];
        assert_eq!(patch["applyTo"], "BOOTSTRAP", "{directory}");
        assert_eq!(patch["patch"]["operation"], "MERGE", "{directory}");
        found.push((directory, patch["patch"]["value"].clone()));
    }
    let proxy = of("envoy-gateway")?.object("EnvoyProxy", "mail")?;
    let bootstrap = &proxy["spec"]["bootstrap"];
    assert_eq!(bootstrap["type"], "Merge");
    let value = bootstrap["value"].as_str().context("no bootstrap")?;
    found.push(("envoy-gateway", serde_saphyr::from_str(value)?));
    Ok(found)
}

#[test]
fn metrics_have_the_labels_of_envoy_yaml_in_istio_and_envoy_gateway() -> Result<()> {
    let source: Value = serde_saphyr::from_str(&fs::read_to_string(paths::envoy_yaml())?)?;
    let mut seen = 0;
    for (directory, bootstrap) in bootstraps()? {
        for (part, value) in bootstrap.as_object().context(directory)? {
            assert_eq!(Some(value), source.get(part), "{directory}: {part}");
            seen += 1;
        }
        ensure!(bootstrap.get("stats_config").is_some(), "{directory}");
    }
    // Envoy Gateway has the internal listener's extension besides.
    assert_eq!(seen, 4);
    Ok(())
}

/// The block of the guide in this language that holds `mark`.
fn block<'a>(guide: &'a str, language: &str, mark: &str) -> Result<&'a str> {
    let fence = format!("```{language}\n");
    let blocks = guide.split(&fence).skip(1);
    let mut blocks = blocks.filter_map(|rest| Some(rest.split_once("```")?.0));
    let found = blocks.find(|block| block.contains(mark));
    found.with_context(|| format!("no block with {mark}"))
}

/// The overlay of the guide, typed in as it says.
#[test]
fn the_guides_own_overlay_builds() -> Result<()> {
    let guide = fs::read_to_string(paths::repository().join("docs/kubernetes.md"))?;
    let directory = tempfile::Builder::new().prefix("guide-").tempdir()?;
    let (mail, envoy) = (
        directory.path().join("mail"),
        directory.path().join("portcullis/envoy"),
    );
    fs::create_dir_all(mail.join("policy"))?;
    fs::create_dir_all(&envoy)?;
    let run = |program: &str, arguments: &[&str]| -> Result<()> {
        let mut command = Command::new(program);
        let status = command.args(arguments).current_dir(&mail).status()?;
        ensure!(status.success(), "{command:?}: {status}");
        Ok(())
    };
    let manifests = paths::kubernetes().display().to_string();
    run("cp", &["-r", &manifests, &envoy.display().to_string()])?;
    let overlay = block(&guide, "yaml", "# mail/kustomization.yaml")?;
    let digest = format!("sha256:{}", "0".repeat(64));
    fs::write(
        mail.join("kustomization.yaml"),
        overlay.replace("sha256:…", &digest),
    )?;
    let policy = block(&guide, "json", "\"observe\"")?;
    fs::write(mail.join("policy/policy.json"), policy)?;
    let component = paths::kubernetes().join("overlays/demo/policy/kustomization.yaml");
    fs::copy(component, mail.join("policy/kustomization.yaml"))?;
    run("bash", &["-euc", block(&guide, "sh", "openssl rand")?])?;

    let built = Manifests::build(&mail)?;
    let (good, said) = check(
        &built
            .objects()
            .iter()
            .filter(|object| !is_custom(object))
            .cloned()
            .collect::<Vec<_>>(),
    )?;
    ensure!(good, "{said}");
    let yaml = built.yaml();
    for there in [
        "zen.spamhaus.org",
        &format!("reference: registry.your.example/portcullis@{digest}"),
        &format!("image: registry.your.example/envoy@{digest}"),
        "externalName: mx.your.example",
    ] {
        ensure!(yaml.contains(there), "no {there}");
    }
    let store = Container::of(&built, "StatefulSet", "portcullis-store", "redis")?;
    for file in ["redis.conf", "webdis.json"] {
        let text = store.read(&format!("/etc/portcullis/{file}"))?;
        ensure!(!text.contains("change-me"), "{file}: {text}");
    }
    Ok(())
}
