//! `envoy.yaml` is complete and valid as it stands, and says what the policy files say.

use std::{fs, os::unix::fs::symlink, process::Command};

use anyhow::{Context, Result, ensure};
use portcullis_tests::{paths, tls::Certificate};
use serde_json::Value;
use tempfile::TempDir;

fn read_yaml() -> Result<Value> {
    let text = fs::read_to_string(paths::envoy_yaml())?;
    serde_saphyr::from_str(&text).context("envoy.yaml")
}

/// Has Envoy validate this configuration where it finds what it names.
fn validate(yaml: &str) -> Result<(bool, String)> {
    let root = TempDir::new()?;
    let target = root.path().join("target");
    Certificate::make(&target.join("tls"))?;
    symlink(paths::wasm()?, target.join("portcullis.wasm"))?;
    symlink(paths::starttls()?, target.join("libportcullis_starttls.so"))?;
    symlink(paths::repository().join("envoy"), root.path().join("envoy"))?;
    fs::write(root.path().join("envoy.yaml"), yaml)?;
    let output = Command::new(paths::envoy()?)
        .args(["--mode", "validate", "--config-path", "envoy.yaml"])
        .current_dir(root.path())
        .output()?;
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

#[test]
fn envoy_accepts_the_file_as_it_is() -> Result<()> {
    let (valid, said) = validate(&fs::read_to_string(paths::envoy_yaml())?)?;
    ensure!(valid, "{said}");
    ensure!(!said.contains("[warning]"), "{said}");
    Ok(())
}

#[test]
fn envoy_refuses_the_file_with_a_policy_the_filter_refuses() -> Result<()> {
    let yaml = fs::read_to_string(paths::envoy_yaml())?.replace("max_total: 10", "max_total: ten");
    let (valid, said) = validate(&yaml)?;
    ensure!(!valid && said.contains("rcpt.max_total"), "{said}");
    Ok(())
}

/// The module needs a socket that it can switch, and to be the first filter, with the guard next.
#[test]
fn the_module_stands_before_the_guard_on_a_listener_that_can_start_tls() -> Result<()> {
    let yaml = read_yaml()?;
    let listeners = yaml.pointer("/static_resources/listeners");
    let listeners = listeners.and_then(Value::as_array).context("listeners")?;
    let mut found = 0;
    for listener in listeners {
        let filters = listener.pointer("/filter_chains/0/filters");
        let filters = filters.and_then(Value::as_array).context("filters")?;
        let names: Vec<_> = filters.iter().map(|filter| &filter["name"]).collect();
        let module = names
            .iter()
            .position(|name| **name == "portcullis.starttls");
        let Some(position) = module else { continue };
        found += 1;
        assert_eq!(position, 0, "{names:?}");
        assert_eq!(names[1], "envoy.filters.network.wasm");
        let socket = listener.pointer("/filter_chains/0/transport_socket/name");
        assert_eq!(socket, Some(&"envoy.transport_sockets.starttls".into()));
    }
    assert_eq!(found, 1);
    Ok(())
}

#[test]
fn both_listeners_carry_the_default_policy_of_the_policy_files() -> Result<()> {
    let file = paths::repository().join("envoy/policies/default.json");
    let default: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
    let yaml = read_yaml()?;
    for listener in 0..2 {
        let filter = format!("/static_resources/listeners/{listener}/filter_chains/0/filters/0");
        let policy = format!("{filter}/typed_config/config/configuration/value");
        assert_eq!(yaml.pointer(&policy), Some(&default));
    }
    Ok(())
}
