//! The reports that `host-sim attack` and `host-sim what-if` write, in a real browser: every chart
//! with its axes and lines, nothing wider than a phone, nothing loaded, nothing on the console.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};
use portcullis_tests::{browser::Browser, paths};
use serde_json::Value;
use tempfile::TempDir;

/// A chart's name and the colours of its lines.
type Chart = (&'static str, &'static [&'static str]);

const ATTACK: [Chart; 4] = [
    ("lookups", &["before", "after"]),
    ("listings", &["before", "after", "other"]),
    ("questions", &["other", "after"]),
    ("delays", &["before", "after"]),
];
const WHAT_IF: [Chart; 2] = [
    ("accepted", &["before", "after"]),
    ("cut", &["before", "after"]),
];

const PHONE: (u32, u32) = (360, 740);
const DESKTOP: (u32, u32) = (1280, 900);

/// What is looked at in a page: for each chart its name, the labels of both axes, and the colours
/// of its lines and of its legend.
const LOOK: &str = r#"
[...document.querySelectorAll("figure")].map(figure => {
  const svg = figure.querySelector("svg");
  const box = svg.getBoundingClientRect();
  const lines = [...svg.querySelectorAll("polyline")].filter(line =>
    (line.getAttribute("stroke") || "").match(/--(before|after|other)/));
  return {
    id: figure.id,
    texts: [...svg.querySelectorAll("text")].map(text => text.textContent.trim()),
    upright: [...svg.querySelectorAll("text[transform]")].length,
    series: lines.map(line => line.getAttribute("stroke")),
    legend: [...figure.querySelectorAll(".legend li")].map(item => item.dataset.series),
    drawn: lines.every(line => line.getBoundingClientRect().width > 0),
    coloured: lines.every(line => getComputedStyle(line).stroke.startsWith("rgb")),
    inside: box.left >= 0 && box.right <= innerWidth,
  };
})"#;

fn host_sim(arguments: &[&str], directory: &Path) -> Result<()> {
    let output = Command::new(paths::host_sim()?)
        .args(arguments)
        .arg("--wasm")
        .arg(paths::wasm()?)
        .args([
            "--echo-cluster",
            "portcullis_refusals",
            "--html",
            "report.html",
        ])
        .current_dir(directory)
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{errors}");
    Ok(())
}

fn attack(directory: &Path) -> Result<()> {
    let policy = paths::repository().join("envoy/policies/dnsbl.json");
    host_sim(
        &[
            "attack",
            "--bots=20",
            "--sessions=20",
            "--siblings=4",
            "--honest=34",
            "--blacklist=bl.example.test",
            "--listings=portcullis_listed_",
            "--policy",
            policy.to_str().unwrap(),
        ],
        directory,
    )
}

fn what_if(directory: &Path) -> Result<()> {
    std::fs::write(directory.join("other.json"), r#"{"mode":"observe"}"#)?;
    let sessions = paths::repository().join("tests/scenarios");
    let sessions = sessions.to_str().unwrap();
    host_sim(&["what-if", sessions, "--other", "other.json"], directory)
}

/// Every chart of a page has axes, lines and a legend; and in every size and scheme nothing
/// overflows, is loaded or complained of.
fn check(browser: &mut Browser, file: &Path, charts: &[Chart]) -> Result<()> {
    let mut papers = Vec::new();
    for (size, scheme) in [(PHONE, "light"), (PHONE, "dark"), (DESKTOP, "dark")] {
        browser.show(file, size, scheme)?;
        let width = browser.value("document.documentElement.scrollWidth")?;
        ensure!(width == size.0, "{width} wide in a window of {}", size.0);
        check_charts(&browser.value(LOOK)?, charts)?;
        papers.push(browser.value("getComputedStyle(document.body).backgroundColor")?);
        let deeds = browser.deeds();
        ensure!(deeds.console.is_empty(), "{:?}", deeds.console);
        // The page itself, and nothing besides.
        ensure!(deeds.requests.len() == 1, "{:?}", deeds.requests);
        ensure!(
            deeds.requests[0].starts_with("file://"),
            "{:?}",
            deeds.requests
        );
    }
    ensure!(papers[0] != papers[1], "the dark scheme changes nothing");
    ensure!(papers[1] == papers[2]);
    Ok(())
}

fn check_charts(found: &Value, expected: &[Chart]) -> Result<()> {
    let found = found.as_array().unwrap();
    ensure!(found.len() == expected.len(), "{found:#?}");
    for (chart, (id, series)) in found.iter().zip(expected) {
        ensure!(chart["id"] == *id, "{chart:#}");
        let series: Vec<String> = series.iter().map(|name| format!("var(--{name})")).collect();
        ensure!(chart["series"] == serde_json::json!(series), "{chart:#}");
        ensure!(chart["legend"] == chart["series"], "{chart:#}");
        for holds in ["drawn", "coloured", "inside"] {
            ensure!(chart[holds] == true, "{holds}: {chart:#}");
        }
        // Numbers along both axes, and a word for each, the vertical one's turned.
        let texts = chart["texts"].as_array().unwrap();
        let numbers = texts.iter().filter(|text| {
            let text = text.as_str().unwrap_or_default();
            text.starts_with(|letter: char| letter.is_ascii_digit())
        });
        ensure!(numbers.count() >= 4 && chart["upright"] == 1, "{chart:#}");
        ensure!(texts.len() >= 6, "{chart:#}");
    }
    Ok(())
}

#[test]
fn the_report_of_an_attack_is_whole() -> Result<()> {
    let directory = TempDir::new()?;
    attack(directory.path())?;
    let report = directory.path().join("report.html");
    check(&mut Browser::start()?, &report, &ATTACK)
}

#[test]
fn the_report_of_two_policies_is_whole_and_what_were_wrong_with_it_would_show() -> Result<()> {
    let directory = TempDir::new()?;
    what_if(directory.path())?;
    let report = directory.path().join("report.html");
    let browser = &mut Browser::start()?;
    check(browser, &report, &WHAT_IF)?;

    let page = std::fs::read_to_string(&report)?;
    let wrong = [
        (
            "something wide",
            "</main>",
            "<div style='width: 600px'>wide</div></main>",
        ),
        (
            "something loaded",
            "</main>",
            "<img src='elsewhere.png'></main>",
        ),
        (
            "no dark scheme",
            "prefers-color-scheme: dark",
            "prefers-color-scheme: none",
        ),
        ("a chart without its lines", "<polyline", "<g"),
        ("a chart without letters", "<text", "<g"),
        (
            "a chart by another name",
            "<figure id=\"cut\"",
            "<figure id=\"cuts\"",
        ),
    ];
    for (what, from, to) in wrong {
        let spoiled = page.replace(from, to);
        ensure!(spoiled != page, "{what}: nothing was spoiled");
        std::fs::write(&report, spoiled)?;
        let seen = check(browser, &report, &WHAT_IF);
        ensure!(seen.is_err(), "{what} was not seen");
    }
    Ok(())
}
