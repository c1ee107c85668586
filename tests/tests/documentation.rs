//! What the documentation shows works: every policy in it, and in `envoy/policies`, is taken by the
//! filter as built.

use anyhow::{Context, Result, ensure};
use portcullis_host_sim::{FilterModule, Simulator};
use portcullis_tests::paths;

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
    let guide = std::fs::read_to_string(paths::repository().join("docs/operators-guide.md"))?;
    let examples = examples(&guide);
    ensure!(
        examples.len() >= 10,
        "only {} examples found",
        examples.len()
    );
    examples
        .iter()
        .try_for_each(|policy| accept(&filter, policy))
}

#[test]
fn every_policy_file_is_accepted() -> Result<()> {
    let filter = FilterModule::from_file(&paths::wasm()?)?;
    let mut seen = 0;
    for entry in std::fs::read_dir(paths::repository().join("envoy/policies"))? {
        accept(&filter, &std::fs::read_to_string(entry?.path())?)?;
        seen += 1;
    }
    ensure!(seen >= 3, "only {seen} policies found");
    Ok(())
}

#[test]
fn a_bad_policy_is_refused() -> Result<()> {
    let filter = FilterModule::from_file(&paths::wasm()?)?;
    ensure!(accept(&filter, r#"{"rcpt": {"max_consecutive": 0}}"#).is_err());
    Ok(())
}
