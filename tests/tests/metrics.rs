//! The metrics that a real Envoy exports are those of `docs/metrics.md`, from the beginning.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, ensure};
use portcullis_tests::{
    deadline::{PATIENCE, Seen, wait_for},
    dnsbl::{FakeDoh, Gate, Told, asking, by_last_octet},
    envoy::Admin,
    host_sim::Mta,
    paths,
};
use serde_json::json;

const LIST: &str = "bl.example.test";

/// A family of metrics: its kind and the labels of its members.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

/// What the reference says.
fn reference() -> Result<Families> {
    let page = fs::read_to_string(paths::repository().join("docs/metrics.md"))?;
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `portcullis_")?.split('|');
        let name = cells.next()?.trim().trim_end_matches('`');
        let (name, label) = name.split_once('{').unwrap_or((name, ""));
        let labels = label.trim_end_matches('}').split(',');
        let labels = labels.filter(|label| !label.is_empty()).map(str::to_owned);
        let kind = cells.next()?.trim().to_owned();
        Some((format!("portcullis_{name}"), (kind, labels.collect())))
    });
    Ok(rows.collect())
}

/// A sample: its name, its labels and its value.
type Sample = (String, BTreeMap<String, String>, f64);

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels = labels.trim_end_matches('}').split(',').filter_map(|label| {
        let (name, value) = label.split_once('=')?;
        Some((name.to_owned(), value.trim_matches('"').to_owned()))
    });
    Some((name.to_owned(), labels.collect(), value.parse().ok()?))
}

fn samples(page: &str) -> Vec<Sample> {
    let ours = page.lines().filter(|line| line.starts_with("portcullis_"));
    ours.filter_map(sample).collect()
}

/// What Envoy exports.
fn exported(page: &str) -> Families {
    let types = page.lines().filter_map(|line| {
        let (name, kind) = line.strip_prefix("# TYPE portcullis_")?.split_once(' ')?;
        Some((
            format!("portcullis_{name}"),
            (kind.to_owned(), BTreeSet::new()),
        ))
    });
    let mut families: Families = types.collect();
    for (name, labels, _) in samples(page) {
        let parts = ["_bucket", "_sum", "_count"];
        let base = parts.iter().find_map(|part| name.strip_suffix(part));
        let family = match base {
            Some(base) if families.contains_key(base) => families.get_mut(base),
            _ => families.get_mut(&name),
        };
        if let Some((_, known)) = family {
            known.extend(labels.into_keys().filter(|label| label != "le"));
        }
    }
    families
}

/// The sum over all samples of this name that have this label, be it none.
fn value(admin: &Admin, name: &str, label: Option<(&str, &str)>) -> Result<f64> {
    let page = admin.get("/stats/prometheus")?;
    let found: Vec<f64> = samples(&page)
        .into_iter()
        .filter(|(known, labels, _)| {
            let has = |(key, value): (&str, &str)| labels.get(key).is_some_and(|v| v == value);
            known == name && label.is_none_or(has)
        })
        .map(|(_, _, value)| value)
        .collect();
    ensure!(!found.is_empty(), "{name} {label:?} is not exported");
    Ok(found.iter().sum())
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
    for (name, labels, value) in samples(&page) {
        // The sites have been tested.
        let quiet = !name.starts_with("portcullis_dnsbl_");
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
