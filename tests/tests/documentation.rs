//! What the documentation shows works: every policy in it, and in `envoy/policies`, is taken by the
//! filter as built; every setting is in it; and its links lead somewhere.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use portcullis_host_sim::{FilterModule, Simulator};
use portcullis_tests::{
    markdown::{has_heading, links},
    paths,
};
use serde_json::Value;

/// The operator's guide: all texts of `docs`, by their files.
fn guide() -> Result<Vec<(PathBuf, String)>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(paths::repository().join("docs"))? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(&file)?;
            texts.push((file, text));
        }
    }
    Ok(texts)
}

/// The `json` blocks of a Markdown text.
fn examples(markdown: &str) -> Vec<String> {
    let blocks = markdown.split("```json\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split_once("```"));
    blocks.map(|(block, _)| block.to_owned()).collect()
}

fn accept(filter: &FilterModule, policy: &str) -> Result<()> {
    let simulator = Simulator::builder_for(filter).plugin_config(policy).build();
    simulator.map(drop).with_context(|| policy.to_owned())
}

#[test]
fn every_policy_in_the_guide_is_accepted() -> Result<()> {
    let filter = FilterModule::from_file(&paths::wasm()?)?;
    let mut seen = 0;
    for (file, text) in guide()? {
        for policy in examples(&text) {
            accept(&filter, &policy).with_context(|| file.display().to_string())?;
            seen += 1;
        }
    }
    ensure!(seen >= 40, "only {seen} examples found");
    Ok(())
}

#[test]
fn every_policy_file_is_accepted() -> Result<()> {
    let filter = FilterModule::from_file(&paths::wasm()?)?;
    let mut seen = 0;
    for entry in fs::read_dir(paths::repository().join("envoy/policies"))? {
        accept(&filter, &fs::read_to_string(entry?.path())?)?;
        seen += 1;
    }
    ensure!(seen >= 5, "only {seen} policies found");
    Ok(())
}

#[test]
fn a_bad_policy_is_refused() -> Result<()> {
    let filter = FilterModule::from_file(&paths::wasm()?)?;
    ensure!(accept(&filter, r#"{"rcpt": {"max_consecutive": 0}}"#).is_err());
    Ok(())
}

/// The settings of the schema that are explained as `section.setting`; sections with a heading of
/// their own explain theirs together.
#[test]
fn every_setting_is_in_the_guide() -> Result<()> {
    let schema = fs::read_to_string(paths::repository().join("envoy/policy.schema.json"))?;
    let schema: Value = serde_json::from_str(&schema)?;
    let texts: String = guide()?.into_iter().map(|(_, text)| text).collect();
    let mut missing = Vec::new();
    let mut seen = 0;
    for (section, shape) in members(&schema, "/properties")? {
        if texts.contains(&format!("\n### `{section}`\n")) {
            continue;
        }
        let name = shape.pointer("/$ref").and_then(Value::as_str);
        let name = name.and_then(|reference| reference.strip_prefix('#'));
        let place =
            name.with_context(|| format!("{section} is neither explained nor a section"))?;
        for setting in members(&schema, &format!("{place}/properties"))?.keys() {
            seen += 1;
            let setting = format!("`{section}.{setting}`");
            if !texts.contains(&setting) {
                missing.push(setting);
            }
        }
    }
    ensure!(seen >= 40, "only {seen} settings found");
    ensure!(missing.is_empty(), "not in docs/: {}", missing.join(", "));
    Ok(())
}

fn members<'a>(schema: &'a Value, place: &str) -> Result<&'a serde_json::Map<String, Value>> {
    let found = schema.pointer(place).and_then(Value::as_object);
    found.with_context(|| format!("no object at {place} of the schema"))
}

#[test]
fn links_lead_to_files_and_headings() -> Result<()> {
    let root = paths::repository();
    let mut texts = guide()?;
    for name in [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "host-sim/README.md",
        "envoy/dashboards/README.md",
    ] {
        let file = root.join(name);
        let text = fs::read_to_string(&file)?;
        texts.push((file, text));
    }
    let mut seen = 0;
    for (file, text) in &texts {
        for link in links(text) {
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => file.clone(),
                path => file.with_file_name(path),
            };
            ensure!(target.exists(), "{}: {link}", file.display());
            if !heading.is_empty() {
                let target = fs::read_to_string(target)?;
                let found = has_heading(&target, heading);
                ensure!(found, "{}: no heading for {link}", file.display());
            }
            seen += 1;
        }
    }
    ensure!(seen >= 20, "only {seen} links found");
    Ok(())
}
