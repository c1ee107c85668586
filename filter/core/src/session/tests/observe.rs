//! Rules and clients that are only observed while all else is carried out.

use super::*;
use crate::policy::Mode;
use crate::session::{Ended, Ending};
use std::net::IpAddr;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const UNKNOWN: &str = "550 5.1.1 User unknown\r\n";

fn guess(talk: &mut Talk, count: usize) -> usize {
    for n in 0..count {
        talk.client(guesses(n..n + 1));
        talk.server(UNKNOWN);
        if talk.closed_by().is_some() {
            return n + 1;
        }
    }
    0
}

#[test]
fn a_rule_that_is_only_observed_leaves_the_others_in_force() {
    let policy = r#"{"observe": {"rules": ["rcpt.max_consecutive"]}, "rcpt": {"max_total": 8}}"#;
    let mut talk = Talk::in_transaction(policy);
    assert_eq!(guess(&mut talk, 20), 8);
    let record = talk.session.record();
    assert_eq!(record.rule, Some(Rule::RcptTotal));
    assert_eq!(record.observed, [Rule::RcptConsecutive]);
    assert_eq!(record.evidence.map(|counts| counts.rejected), Some(8));
    assert_eq!(record.ending.ended, Ended::Guard);
}

#[test]
fn the_rule_that_acts_is_not_hidden_behind_one_that_is_observed() {
    let policy = r#"{"observe": {"rules": ["rcpt.max_total"]},
        "rcpt": {"max_total": 3, "max_consecutive": 3}}"#;
    let mut talk = Talk::in_transaction(policy);
    assert_eq!(guess(&mut talk, 20), 3);
    assert_eq!(talk.session.record().rule, Some(Rule::RcptConsecutive));
}

#[test]
fn bursts_are_not_metered_by_a_limit_that_is_only_observed() {
    let policy = r#"{"observe": {"rules": ["rcpt.max_consecutive", "rcpt.max_total"]}}"#;
    let mut talk = Talk::in_transaction(policy);
    assert_eq!(talk.client(guesses(0..50)), guesses(0..50));
    talk.server(UNKNOWN.repeat(50));
    let record = talk.session.record();
    assert_eq!((record.verdict, talk.closed_by()), ("observe", None));
    assert_eq!(record.observed, [Rule::RcptConsecutive, Rule::RcptTotal]);
    let evidence = record
        .evidence
        .map(|counts| (counts.consecutive, counts.rejected));
    assert_eq!(evidence, Some((5, 5)), "as it was when the rule was met");
}

#[test]
fn a_share_of_clients_is_always_the_same() {
    let policy = |percent: u32| {
        let json = format!(r#"{{"observe": {{"percent": {percent}}}}}"#);
        Policy::read(json.as_bytes()).unwrap()
    };
    let clients = || (0..10_000_u32).map(|n| IpAddr::from((0x0a00_0000 + n * 7919).to_be_bytes()));
    let observed = |percent| {
        let policy = policy(percent);
        let spared = clients().filter(move |client| !policy.enforces_at(Some(*client)));
        spared.collect::<Vec<_>>()
    };
    let (none, few, more, all) = (observed(0), observed(10), observed(30), observed(100));
    assert!(none.is_empty() && all.len() == 10_000);
    assert!((900..1100).contains(&few.len()), "{}", few.len());
    assert!((2800..3200).contains(&more.len()), "{}", more.len());
    assert!(
        few.iter().all(|client| more.contains(client)),
        "a larger share holds the smaller"
    );
}

#[test]
fn clients_of_the_share_are_spared_and_recorded_as_such() {
    let mut talk = Talk::in_transaction(r#"{"observe": {"percent": 100}}"#);
    assert_eq!(guess(&mut talk, 20), 0);
    let record = talk.session.record();
    assert_eq!((record.verdict, record.mode), ("observe", Mode::Observe));
}

#[test]
fn names_of_rules_are_checked() {
    for (rules, good) in [
        (r#"["ledger", "dnsbl", "smuggling"]"#, true),
        (r#"["ledger.streak"]"#, false),
        (r#"["desync"]"#, false),
        (r#"["rcpt"]"#, false),
    ] {
        let json = format!(r#"{{"observe": {{"rules": {rules}}}}}"#);
        assert_eq!(Policy::read(json.as_bytes()).is_ok(), good, "{rules}");
    }
}

#[test]
fn what_is_not_worth_a_record_has_none() {
    let recorded = |json: &str, guesses: usize| {
        let mut talk = Talk::in_transaction(json);
        guess(&mut talk, guesses);
        (0..1000)
            .filter(|lot| talk.session.is_recorded(*lot))
            .count()
    };
    let which = |which: &str| format!(r#"{{"record": {{"sessions": "{which}", "percent": 20}}}}"#);
    assert_eq!(
        (recorded(&which("all"), 0), recorded(&which("all"), 5)),
        (1000, 1000)
    );
    assert_eq!(
        (recorded(&which("off"), 0), recorded(&which("off"), 5)),
        (0, 0)
    );
    assert_eq!(
        (
            recorded(&which("acted-on"), 0),
            recorded(&which("acted-on"), 5)
        ),
        (0, 1000)
    );
    assert_eq!(recorded(&which("sampled"), 5), 1000);
    let sampled = recorded(&which("sampled"), 0);
    assert!((150..250).contains(&sampled), "{sampled}");
}

#[test]
fn a_record_knows_who_ended_the_session() {
    let ending = |ended| Ending {
        ended,
        duration_ms: 1500,
        held_ms: 20,
    };
    let mut talk = Talk::in_transaction("{}");
    let end = |talk: &Talk, ended| talk.session.record().ending(ending(ended)).ending;
    assert_eq!(end(&talk, Ended::Client), ending(Ended::Client));
    assert_eq!(end(&talk, Ended::Proxy), ending(Ended::Proxy));
    talk.exchange("QUIT\r\n", "221 bye\r\n");
    assert_eq!(end(&talk, Ended::Server), ending(Ended::Quit));
    let mut bot = Talk::in_transaction("{}");
    assert_eq!(guess(&mut bot, 20), 5);
    assert_eq!(end(&bot, Ended::Client), ending(Ended::Guard));
}

#[test]
fn policies_have_versions() {
    let version = |json: &str| Policy::read(json.as_bytes()).unwrap().version().to_owned();
    let (some, other) = (
        r#"{"rcpt": {"max_total": 9}}"#,
        r#"{"rcpt": {"max_total": 8}}"#,
    );
    assert_ne!(version(some), version(other));
    assert_eq!(
        version(some),
        version("{ \"rcpt\":\n {\"max_total\": 9}}"),
        "however written"
    );
    assert_eq!(version(some).len(), 12);
    assert_eq!(version(r#"{"version": "2026-11-26/3"}"#), "2026-11-26/3");
    for bad in ["", "a b", &"x".repeat(65)] {
        let json = format!(r#"{{"version": "{bad}"}}"#);
        assert!(Policy::read(json.as_bytes()).is_err(), "{bad:?}");
    }
}
