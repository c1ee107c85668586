//! What stands in `envoy/dashboards`: the rules do what they say on days made up for the purpose,
//! and the dashboard is one that Grafana takes.
#![allow(
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use portcullis_tests::{markdown::has_heading, paths};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Tests of the rules, by how long the time is that they play.
const RULES_TESTS: [&str; 2] = ["rules-test.yaml", "rules-test-days.yaml"];

fn read(name: &str) -> Result<String> {
    let path = paths::dashboards().join(name);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

fn yaml(name: &str) -> Result<Value> {
    serde_saphyr::from_str(&read(name)?).with_context(|| name.to_owned())
}

fn list<'a>(tree: &'a Value, place: &str) -> impl Iterator<Item = &'a Value> {
    let items = tree.pointer(place).and_then(Value::as_array);
    items.into_iter().flatten()
}

fn text<'a>(tree: &'a Value, place: &str) -> &'a str {
    let found = tree.pointer(place).and_then(Value::as_str);
    found.unwrap_or_default()
}

/// Runs promtool; what it says, if it finds fault.
fn promtool(arguments: &[&str]) -> Result<Option<String>> {
    let mut command = Command::new(paths::on_path("promtool")?);
    command
        .current_dir(paths::dashboards())
        .args(arguments)
        .stdin(Stdio::null());
    let output = command.output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Ok((!output.status.success()).then_some(said))
}

fn alerts(rules: &Value) -> Vec<&Value> {
    let rules = list(rules, "/groups").flat_map(|group| list(group, "/rules"));
    rules.filter(|rule| rule.get("alert").is_some()).collect()
}

#[test]
fn promtool_takes_the_rules_and_the_configuration() -> Result<()> {
    assert_eq!(promtool(&["check", "rules", "rules.yaml"])?, None);
    assert_eq!(promtool(&["check", "config", "prometheus.yaml"])?, None);
    Ok(())
}

#[test]
fn alerts_fire_when_they_should() -> Result<()> {
    let arguments: Vec<&str> = ["test", "rules"].into_iter().chain(RULES_TESTS).collect();
    assert_eq!(promtool(&arguments)?, None);
    Ok(())
}

#[test]
fn an_alert_that_does_not_fire_fails_its_test() -> Result<()> {
    let firing = r#"count(ALERTS{alertname="PortcullisUnderAttack", alertstate="firing"})"#;
    let test = json!({
        "rule_files": ["rules.yaml"],
        "tests": [{
            "interval": "1m",
            "input_series": [{ "series": "portcullis_attack_workers", "values": "1x9" }],
            "promql_expr_test": [{
                "expr": firing,
                "eval_time": "9m",
                "exp_samples": [{ "labels": "{}", "value": 1 }],
            }],
        }],
    });
    let directory = TempDir::new()?;
    let file = |name: &str| directory.path().join(name);
    fs::write(file("test.yaml"), test.to_string())?;
    let tests = file("test.yaml").display().to_string();
    let said = |rules: &str| {
        fs::write(file("rules.yaml"), rules)?;
        promtool(&["test", "rules", &tests])
    };
    let rules = read("rules.yaml")?;
    assert_eq!(said(&rules)?, None);
    let broken = said(&rules.replace("portcullis_attack_workers", "portcullis_attackers"))?;
    let broken = broken.context("promtool is content")?;
    ensure!(broken.contains("PortcullisUnderAttack"), "{broken}");
    Ok(())
}

/// By tests of its own: at a time when it fires, and at one when it does not.
#[test]
fn every_alert_is_tested_both_ways() -> Result<()> {
    let (mut fires, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for file in RULES_TESTS {
        let tests = yaml(file)?;
        for test in list(&tests, "/tests").flat_map(|test| list(test, "/alert_rule_test")) {
            let name = text(test, "/alertname").to_owned();
            match list(test, "/exp_alerts").count() {
                0 => silent.insert(name),
                _ => fires.insert(name),
            };
        }
    }
    let rules = yaml("rules.yaml")?;
    let all: BTreeSet<String> = alerts(&rules)
        .into_iter()
        .map(|rule| text(rule, "/alert").to_owned())
        .collect();
    ensure!(all.len() >= 10, "only {} alerts found", all.len());
    assert_eq!(fires, all, "fire");
    assert_eq!(silent, all, "stay silent");
    Ok(())
}

#[test]
fn every_alert_says_what_to_do_and_where_to_read_on() -> Result<()> {
    let rules = yaml("rules.yaml")?;
    for rule in alerts(&rules) {
        let name = text(rule, "/alert");
        let severity = text(rule, "/labels/severity");
        ensure!(
            ["info", "warning", "critical"].contains(&severity),
            "{name}: {severity}"
        );
        ensure!(!text(rule, "/annotations/summary").is_empty(), "{name}");
        ensure!(text(rule, "/annotations/description").len() > 80, "{name}");
        let guide = text(rule, "/annotations/guide");
        let (file, heading) = guide.split_once('#').context(name.to_owned())?;
        let page = fs::read_to_string(paths::repository().join(file)).context(name.to_owned())?;
        ensure!(has_heading(&page, heading), "{name}: no heading {guide}");
    }
    Ok(())
}

/// The panels of the dashboard, without the rows.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let panels = list(dashboard, "/panels");
    panels
        .filter(|panel| !["row", "text"].contains(&text(panel, "/type")))
        .collect()
}

/// With Grafana's variables replaced, since they are no part of Prometheus' language.
#[test]
fn prometheus_understands_every_query_of_the_dashboard() -> Result<()> {
    let dashboard: Value = serde_json::from_str(&read("portcullis.json")?)?;
    let mut rules = Vec::new();
    for target in panels(&dashboard)
        .into_iter()
        .flat_map(|p| list(p, "/targets"))
    {
        let expression = text(target, "/expr")
            .replace("$__rate_interval", "1m")
            .replace("$__range", "1h");
        rules.push(json!({ "record": format!("query:{}", rules.len()), "expr": expression }));
    }
    ensure!(rules.len() >= 60, "only {} queries found", rules.len());
    let groups = json!({ "groups": [{ "name": "queries", "rules": rules }] });
    let directory = TempDir::new()?;
    let file = directory.path().join("queries.yaml");
    fs::write(&file, groups.to_string())?;
    let file = file.display().to_string();
    assert_eq!(promtool(&["check", "rules", &file])?, None);
    Ok(())
}

/// Holds a dashboard against Grafana's own types; what is said, and whether they fit.
fn against_grafana(dashboard: &Value) -> Result<(bool, String)> {
    let directory = TempDir::new()?;
    let file = directory.path().join("dashboard.json");
    fs::write(&file, dashboard.to_string())?;
    let output = Command::new(paths::on_path("node")?)
        .arg(paths::repository().join("tests/dashboards/check.mjs"))
        .arg(paths::dashboard_tools()?)
        .arg(&file)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((output.status.success(), said))
}

#[test]
fn the_dashboard_is_one_of_grafanas() -> Result<()> {
    let dashboard: Value = serde_json::from_str(&read("portcullis.json")?)?;
    let (good, said) = against_grafana(&dashboard)?;
    ensure!(good && said.ends_with(" panels: 0 faults\n"), "{said}");
    Ok(())
}

#[test]
fn what_grafana_does_not_know_is_found() -> Result<()> {
    let graph = |options: Value| json!({ "id": 1, "type": "timeseries", "options": options });
    let dashboard = json!({
        "title": "planted", "schemaVersion": "39",
        "panels": [
            graph(json!({ "tooltip": { "mode": "multi", "sort": "sideways" } })),
            graph(json!({ "legends": {} })),
            { "id": 2, "type": "no-such-panel" },
        ],
    });
    let (good, said) = against_grafana(&dashboard)?;
    ensure!(!good && said.ends_with("3 panels: 4 faults\n"), "{said}");
    for part in ["type 'number'", "sideways", "legends", "no-such-panel"] {
        ensure!(said.contains(part), "{part} is not in {said}");
    }
    Ok(())
}

#[test]
fn every_panel_is_explained_and_has_its_unit_and_its_place() -> Result<()> {
    let dashboard: Value = serde_json::from_str(&read("portcullis.json")?)?;
    for panel in panels(&dashboard) {
        let title = text(panel, "/title");
        ensure!(!title.is_empty(), "{panel}");
        ensure!(text(panel, "/description").len() > 20, "{title}");
        ensure!(
            !text(panel, "/fieldConfig/defaults/unit").is_empty(),
            "{title}"
        );
        for target in list(panel, "/targets") {
            for variable in ["$namespace", "$instance"] {
                ensure!(
                    text(target, "/expr").contains(variable),
                    "{title}: {variable}"
                );
            }
            assert_eq!(text(target, "/datasource/uid"), "${datasource}", "{title}");
        }
    }
    let places = || list(&dashboard, "/panels").map(|panel| &panel["gridPos"]);
    let number = |place: &Value, key: &str| place[key].as_u64().unwrap_or_default();
    let mut taken = BTreeSet::new();
    for place in places() {
        let (x, y) = (number(place, "x"), number(place, "y"));
        ensure!(x + number(place, "w") <= 24, "{place} is too wide");
        for column in x..x + number(place, "w") {
            for line in y..y + number(place, "h") {
                ensure!(taken.insert((column, line)), "{place} covers another one");
            }
        }
    }
    let ids = list(&dashboard, "/panels").map(|panel| panel["id"].to_string());
    assert_eq!(ids.collect::<BTreeSet<_>>().len(), places().count());
    Ok(())
}
