//! `envoy.yaml` is complete and valid as it stands, and says what the policy files say.

use std::{fs, os::unix::fs::symlink, process::Command};

use anyhow::{Context, Result, ensure};
use portcullis_tests::paths;
use serde_json::Value;
use tempfile::TempDir;

fn read_yaml() -> Result<Value> {
    let text = fs::read_to_string(paths::envoy_yaml())?;
    serde_saphyr::from_str(&text).context("envoy.yaml")
}

/// Has Envoy validate this configuration where it finds `target/portcullis.wasm`.
fn validate(yaml: &str) -> Result<(bool, String)> {
    let root = TempDir::new()?;
    fs::create_dir(root.path().join("target"))?;
    symlink(paths::wasm()?, root.path().join("target/portcullis.wasm"))?;
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
