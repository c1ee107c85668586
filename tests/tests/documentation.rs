//! What the documentation shows works: every policy in it, and in `envoy/policies`, is taken by the
//! filter as built; every setting has an example in it; and its links lead somewhere.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use portcullis_host_sim::{FilterModule, Simulator};
use portcullis_tests::{
    markdown::{has_heading, links},
    paths,
};
use serde_json::Value;

/// The operator's guide: its beginning and all texts of `docs`, by their files.
fn guide() -> Result<Vec<(PathBuf, String)>> {
    let first = paths::repository().join("envoy/README.md");
    let text = fs::read_to_string(&first)?;
    let mut texts = vec![(first, text)];
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

/// What stands below one heading: the settings that it names, and the policies that it shows.
struct Section {
    names: Vec<String>,
    shown: Vec<Value>,
}

fn sections(markdown: &str) -> Result<Vec<Section>> {
    let below = markdown.split("\n### `").skip(1);
    let sections = below.map(|text| {
        let (heading, rest) = text.split_once('\n').unwrap_or((text, ""));
        let end = rest.find("\n## ").unwrap_or(rest.len());
        let shown = examples(rest.get(..end).unwrap_or_default()).into_iter();
        let shown: Result<_, _> = shown.map(|policy| serde_json::from_str(&policy)).collect();
        Ok(Section {
            names: heading.split('`').step_by(2).map(str::to_owned).collect(),
            shown: shown.with_context(|| heading.to_owned())?,
        })
    });
    sections.collect()
}

impl Section {
    /// Whether its heading names a setting, or a part that has it, and a policy below sets it.
    fn explains(&self, setting: &str) -> bool {
        let named = self.names.iter().any(|name| {
            let rest = setting.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        let pointer = format!("/{}", setting.replace('.', "/"));
        named
            && self
                .shown
                .iter()
                .any(|policy| policy.pointer(&pointer).is_some())
    }
}

#[test]
fn every_setting_has_an_example_under_a_heading_of_its_own() -> Result<()> {
    let schema = fs::read_to_string(paths::repository().join("envoy/policy.schema.json"))?;
    let schema: Value = serde_json::from_str(&schema)?;
    let mut known = Vec::new();
    for (_, text) in guide()? {
        known.extend(sections(&text)?);
    }
    let mut settings = Vec::new();
    settings_of(&schema, &schema, "", &mut settings)?;
    ensure!(settings.len() >= 90, "only {settings:?} found");
    settings.retain(|setting| !known.iter().any(|section| section.explains(setting)));
    ensure!(settings.is_empty(), "no example in docs/: {settings:?}");
    Ok(())
}

/// The settings below a place of the schema, by their whole names.
fn settings_of(schema: &Value, shape: &Value, path: &str, found: &mut Vec<String>) -> Result<()> {
    let name = shape.pointer("/$ref").and_then(Value::as_str);
    let place = name.map(|reference| reference.trim_start_matches('#'));
    let shape = match place {
        Some(place) => schema.pointer(place).context("a reference to nothing")?,
        None => shape,
    };
    if shape.get("properties").is_none() {
        found.push(path.to_owned());
        return Ok(());
    }
    for (name, inner) in members(shape, "/properties")? {
        let dot = if path.is_empty() { "" } else { "." };
        settings_of(schema, inner, &format!("{path}{dot}{name}"), found)?;
    }
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
