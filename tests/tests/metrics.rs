//! The metrics that a real Envoy exports are those of `docs/metrics.md`, from the beginning; and the
//! dashboard and the rules in `envoy/dashboards` ask for no others.

use std::{collections::BTreeSet, fs, io::Read, net::TcpStream, process::Command};

use anyhow::{Context, Result, ensure};
use portcullis_tests::{
    deadline::{PATIENCE, Seen, wait_for},
    dnsbl::{FakeDoh, Gate, Told, asking, by_last_octet},
    envoy::{Admin, EnvoyConfig, Guard},
    host_sim::Mta,
    paths,
    prometheus::{self, Families, Mentions, Sample, Selector, mentions, reference, samples},
};
use serde_json::{Value, json};
use tempfile::TempDir;

const LIST: &str = "bl.example.test";

/// The sum over all samples of this name that have this label, be it none.
fn value(admin: &Admin, name: &str, label: Option<(&str, &str)>) -> Result<f64> {
    let page = admin.get("/stats/prometheus")?;
    let found: Vec<f64> = samples(&page)
        .into_iter()
        .filter(|sample| {
            let has =
                |(key, value): (&str, &str)| sample.labels.get(key).is_some_and(|v| v == value);
            sample.name == name && label.is_none_or(has)
        })
        .map(|sample| sample.value)
        .collect();
    ensure!(!found.is_empty(), "{name} {label:?} is not exported");
    Ok(found.iter().sum())
}

fn exported(page: &str) -> Families {
    prometheus::families(page, "portcullis_")
}

#[test]
fn all_of_the_reference_is_exported_and_nothing_else() -> Result<()> {
    let fake = FakeDoh::answering(by_last_octet)?;
    let mta = Mta::answering("550 5.1.1 No such user").start()?;
    let policy = asking(&[LIST], &json!({ "budget_ms": 5000, "timeout_ms": 5000 }));
    let gate = Gate::asking_before(mta.address(), policy, fake.address(), &[LIST])?;
    let admin = gate.envoy.admin();

    let reference = reference()?;
    ensure!(reference.len() > 40, "{} rows were read", reference.len());
    let page = admin.get("/stats/prometheus")?;
    assert_eq!(exported(&page), reference, "before the first session");
    for Sample {
        name,
        labels,
        value,
    } in samples(&page)
    {
        // The sites have been tested.
        let quiet = name.starts_with("portcullis_") && !name.starts_with("portcullis_dnsbl_");
        ensure!(
            !quiet || value == 0.0,
            "{name} {labels:?} is {value} before anything happened"
        );
    }

    // One that is listed elsewhere, and one that guesses.
    let listed = "203.0.113.5".parse()?;
    ensure!(
        matches!(gate.visit(listed)?, Told::Refusal(_)),
        "not refused"
    );
    let mut bot = gate.knock("203.0.113.200".parse()?)?;
    bot.reply()?;
    bot.command("EHLO bot.example")?;
    bot.command("MAIL FROM:<a@bot.example>")?;
    for guess in 1..=5 {
        bot.command(&format!("RCPT TO:<guess{guess}@example.test>"))?;
    }
    drop(bot);
    wait_for("no open session", PATIENCE, || {
        let open = admin.get("/stats?filter=^wasmcustom.portcullis_sessions_open$")?;
        Ok(match open.trim().ends_with(": 0") {
            true => Seen::Done(()),
            false => Seen::NotYet(open),
        })
    })?;

    let count = |name: &str, label| value(admin, &format!("portcullis_{name}"), label);
    for (name, label, expected) in [
        ("sessions_total", None, 2.0),
        ("commands_total", Some(("verb", "EHLO")), 1.0),
        ("commands_total", Some(("verb", "RCPT")), 5.0),
        ("recipients_rejected_total", None, 5.0),
        ("refused_total", Some(("rule", "dnsbl")), 1.0),
        ("closed_total", Some(("rule", "rcpt.max_consecutive")), 1.0),
        ("listed_total", Some(("reason", "ledger.streak")), 1.0),
        ("listings", None, 1.0),
        ("dnsbl_questions_total", Some(("site", LIST)), 2.0),
    ] {
        let counted = count(name, label).with_context(|| format!("{name} {label:?}"))?;
        assert_eq!(counted, expected, "{name} {label:?}");
    }
    // Envoy adds up the workers' histograms every few seconds.
    wait_for("both greetings in the histogram", PATIENCE, || {
        let page = admin.get("/stats/prometheus")?;
        let held = "portcullis_greeting_held_ms_count{} 2";
        Ok(match page.lines().any(|line| line == held) {
            true => Seen::Done(()),
            false => Seen::NotYet(page),
        })
    })?;
    let page = admin.get("/stats/prometheus")?;
    assert_eq!(exported(&page), reference, "after some sessions");
    assert_eq!(gate.envoy.traps()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn what_workers_tell_every_second_is_exported() -> Result<()> {
    let fake = FakeDoh::answering(by_last_octet)?;
    let mta = Mta::answering("550 5.1.1 No such user").start()?;
    let more = json!({ "budget_ms": 5000, "timeout_ms": 5000, "cache": { "clients": 16 } });
    let gate = Gate::asking_before(
        mta.address(),
        asking(&[LIST], &more),
        fake.address(),
        &[LIST],
    )?;
    let in_use = || {
        let gauge = format!("wasmcustom.portcullis_dnsbl_site_workers;site={LIST}");
        gate.envoy.admin().stat(&gauge)
    };
    assert_eq!(in_use()?, 0, "nobody has come");
    // The second visit needs no question, whichever worker it meets.
    let listed = "203.0.113.5".parse()?;
    for _ in 0..2 {
        ensure!(matches!(gate.visit(listed)?, Told::Refusal(_)));
    }
    let recalled = gate.wait_for_count(&format!("dnsbl_recalled;site={LIST}"), 1)?;
    assert_eq!(recalled, 1);
    // Two workers have room for sixteen clients each.
    for host in 101..=145 {
        gate.visit([203, 0, 113, host].into())?;
    }
    gate.wait_for_count("table_evicted;table=dnsbl", 46 - 2 * 16)?;
    assert_eq!(gate.count("table_evicted;table=unknown")?, 0);
    let used = in_use()?;
    ensure!((1..=2).contains(&used), "{used} workers use the site");
    drop(fake);
    let mut strangers = (0..=u8::MAX).map(|host| [198, 51, 100, host].into());
    wait_for("the site to be given up", PATIENCE, || {
        if let Some(stranger) = strangers.next() {
            gate.visit(stranger)?;
        }
        Ok(match in_use()? {
            0 => Seen::Done(()),
            used => Seen::NotYet(format!("{used} workers use it")),
        })
    })?;
    assert_eq!(gate.envoy.traps()?, Vec::<String>::new());
    Ok(())
}

/// A filter that traps at its first connection.
const TRAPS: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
    (func (export "proxy_on_context_create") (param i32 i32))
    (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
    (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
    (func (export "proxy_on_new_connection") (param i32) (result i32) unreachable))"#;

/// Ours has none to show, so that the alert's metric is looked at by another one's.
#[test]
fn traps_are_counted_by_the_metric_of_the_alert() -> Result<()> {
    let directory = TempDir::new()?;
    let wasm = directory.path().join("traps.wasm");
    fs::write(&wasm, wat::parse_str(TRAPS)?)?;
    let mta = Mta::answering("550 5.1.1 No such user").start()?;
    let policy = json!({});
    let envoy = EnvoyConfig::before(mta.address(), Guard::Present { wasm, policy }).start()?;
    wait_for("a fresh machine after a trap", PATIENCE, || {
        // Every connection traps; the next one of its worker has the machine made.
        if let Ok(mut client) = TcpStream::connect(envoy.address()) {
            let _ = client.set_read_timeout(Some(PATIENCE));
            let _ = client.read(&mut [0]);
        }
        Ok(
            match envoy.admin().stat("wasm.portcullis.vm_reload_success")? {
                0 => Seen::NotYet("none".to_owned()),
                _ => Seen::Done(()),
            },
        )
    })?;
    let name = "envoy_wasm_portcullis_vm_reload_success";
    ensure!(value(envoy.admin(), name, None)? >= 1.0);
    ensure!(!envoy.traps()?.is_empty(), "no trap was logged");
    Ok(())
}

/// What Envoy exports at the end of `make demo`, of a small one with blacklists.
fn page_of_the_demo() -> Result<String> {
    let directory = TempDir::new()?;
    let file = directory.path().join("metrics");
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis-demo"));
    command.args("--bots 12 --sessions 4 --names 100 --honest 12 --dnsbl on".split(' '));
    let output = command.arg("--metrics").arg(&file).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{errors}");
    Ok(fs::read_to_string(file)?)
}

/// What the dashboard and the rules ask for.
#[derive(Debug, Default)]
struct Asked {
    /// Expressions, each with what it is of.
    expressions: Vec<(String, String)>,
    /// Names that the rules record.
    recorded: Vec<String>,
}

fn asked() -> Result<Asked> {
    let text = |name: &str| fs::read_to_string(paths::dashboards().join(name));
    let dashboard: Value = serde_json::from_str(&text("portcullis.json")?)?;
    let rules: Value = serde_saphyr::from_str(&text("rules.yaml")?)?;
    let mut asked = Asked::default();
    let mut ask = |of: &Value, expression: &Value| {
        let expression = expression.as_str().unwrap_or_default().to_owned();
        asked.expressions.push((of.to_string(), expression));
    };
    for panel in list(&dashboard, "/panels") {
        for target in list(panel, "/targets") {
            ask(&panel["title"], &target["expr"]);
        }
    }
    for rule in list(&rules, "/groups").flat_map(|group| list(group, "/rules")) {
        ask(rule.get("alert").unwrap_or(&rule["record"]), &rule["expr"]);
        let recorded = rule["record"].as_str().map(str::to_owned);
        asked.recorded.extend(recorded);
    }
    let found = asked.expressions.len();
    ensure!(found >= 80, "only {found} expressions found");
    Ok(asked)
}

fn list<'a>(tree: &'a Value, place: &str) -> impl Iterator<Item = &'a Value> {
    let items = tree.pointer(place).and_then(Value::as_array);
    items.into_iter().flatten()
}

/// Labels that Prometheus sets, or its service discovery.
const OF_TARGETS: [&str; 3] = ["job", "instance", "namespace"];

/// What is wrong with a selector, held against a page.
fn fault(selector: &Selector, page: &[Sample]) -> Option<String> {
    let named: Vec<_> = page.iter().filter(|s| s.name == selector.name).collect();
    if named.is_empty() {
        return Some("it is not exported".to_owned());
    }
    let mut labels = selector.labels.iter();
    let labels = labels.find(|(label, value)| {
        let known = |sample: &&Sample| match sample.labels.get(label) {
            // A pattern is none of the values.
            Some(known) => known == value || value.contains(['*', '|', '$']),
            None => false,
        };
        !OF_TARGETS.contains(&label.as_str()) && !named.iter().any(known)
    });
    labels.map(|(label, value)| format!("it has no {label}={value:?}"))
}

#[test]
fn on_a_run_of_the_demo_metrics_reference_dashboard_and_rules_agree() -> Result<()> {
    let page = page_of_the_demo()?;
    assert_eq!(exported(&page), reference()?);
    let page = samples(&page);
    let all = page.iter().flat_map(|sample| sample.labels.keys());
    let all: BTreeSet<&str> = all.map(String::as_str).chain(OF_TARGETS).collect();
    let Asked {
        expressions,
        recorded,
    } = asked()?;
    for (of, expression) in &expressions {
        let Mentions { selectors, grouped } = mentions(expression);
        ensure!(!selectors.is_empty(), "{of} asks for nothing: {expression}");
        for selector in selectors {
            let name = &selector.name;
            let is_recorded = recorded.contains(name);
            let fault = fault(&selector, &page).filter(|_| !is_recorded);
            ensure!(fault.is_none(), "{of}: {name}: {fault:?}");
        }
        for label in grouped {
            ensure!(all.contains(label.as_str()), "{of}: no label {label}");
        }
    }
    // What people are told of Envoy's own.
    for file in ["docs/metrics.md", "envoy/dashboards/README.md"] {
        let text = fs::read_to_string(paths::repository().join(file))?;
        let Mentions { selectors, .. } = mentions(&text);
        let envoys = selectors
            .iter()
            .filter(|one| one.name.starts_with("envoy_"));
        for selector in envoys {
            let fault = fault(selector, &page);
            ensure!(fault.is_none(), "{file}: {}: {fault:?}", selector.name);
        }
    }
    // What the demo shows: who guesses is listed, and all are looked up, once for each site.
    let sum = |name: &str| -> f64 {
        let ours = page.iter().filter(|sample| sample.name == name);
        ours.map(|sample| sample.value).sum()
    };
    ensure!(sum("portcullis_listed_total") >= 12.0);
    ensure!(sum("portcullis_dnsbl_questions_total") >= 36.0);
    Ok(())
}

#[test]
fn a_metric_or_a_label_that_is_not_there_is_found() {
    let page = samples("portcullis_closed_total{rule=\"desync\"} 1\n");
    let faults = |expression: &str| -> Vec<Option<String>> {
        let selectors = mentions(expression).selectors;
        selectors.iter().map(|one| fault(one, &page)).collect()
    };
    let good = r#"rate(portcullis_closed_total{job=~"a",rule="desync"}[5m])"#;
    assert_eq!(faults(good), [None]);
    for bad in [
        "portcullis_closed",
        r#"portcullis_closed_total{reason="desync"}"#,
        r#"portcullis_closed_total{rule="resync"}"#,
        r#"portcullis_closed_total{reason=~"a.*"}"#,
    ] {
        assert!(matches!(faults(bad).as_slice(), [Some(_)]), "{bad}");
    }
}
