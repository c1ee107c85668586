//! Configurations, good and bad, as an operator writes them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

use portcullis_core::policy::{Config, Facts, Policy, Rule};

fn refusal(json: &str) -> String {
    Policy::read(json.as_bytes()).unwrap_err().to_string()
}

#[test]
fn nothing_and_an_empty_object_are_the_default() {
    for json in ["", "  \n", "{}", r#"{"rcpt": {}, "limits": {}}"#] {
        let policy = Policy::read(json.as_bytes()).unwrap();
        assert_eq!(policy.config(), &Config::default(), "{json:?}");
    }
}

#[test]
fn the_default_survives_being_written_and_read() {
    let json = serde_json::to_vec(&Config::default()).unwrap();
    assert_eq!(Policy::read(&json).unwrap().config(), &Config::default());
}

#[test]
fn values_out_of_range_name_path_value_and_mend() {
    for (json, message) in [
        (
            r#"{"rcpt": {"max_consecutive": 0}}"#,
            "rcpt.max_consecutive: expected 1..=1000, got 0",
        ),
        (
            r#"{"rcpt": {"max_total": 100001}}"#,
            "rcpt.max_total: expected 1..=100000, got 100001",
        ),
        (
            r#"{"reset": {"max_wasted": 0}}"#,
            "reset.max_wasted: expected 1..=1000, got 0",
        ),
        (
            r#"{"reset": {"min_rejected": 1001}}"#,
            "reset.min_rejected: expected 1..=1000, got 1001",
        ),
        (
            r#"{"close": {"linger_ms": 5001}}"#,
            "close.linger_ms: expected 0..=5000, got 5001",
        ),
        (
            r#"{"limits": {"owed_replies": 15}}"#,
            "limits.owed_replies: expected 16..=10000, got 15",
        ),
        (
            r#"{"limits": {"held": 4096}}"#,
            "limits.held: expected more than limits.command_line (4096), got 4096",
        ),
        (
            r#"{"rcpt": {"rejected_text": ["ok", " "]}}"#,
            r#"rcpt.rejected_text[1]: expected 1 to 128 octets, not all blank, got " ""#,
        ),
        (
            r#"{"exempt": {"networks": ["192.0.2.1", "192.0.2.0/33"]}}"#,
            r#"exempt.networks[1]: expected a network as "192.0.2.0/24" or "2001:db8::/32", got "192.0.2.0/33""#,
        ),
        (
            r#"{"replies": {"wasted": "250 fine"}}"#,
            r#"replies.wasted: expected a 4yz or 5yz code, a space and a text, got "250 fine""#,
        ),
    ] {
        assert_eq!(refusal(json), message);
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let message = refusal(r#"{"rcpt": {"max_consecutive": 0}, "replies": {"desync": "no"}}"#);
    assert!(message.contains("rcpt.max_consecutive") && message.contains("replies.desync"));
}

#[test]
fn the_wrong_shape_names_the_path() {
    for (json, parts) in [
        (
            r#"{"rcpt": {"max_consecutive": "5"}}"#,
            ["rcpt.max_consecutive: ", "expected u32"],
        ),
        (
            r#"{"rcpt": {"max_consecutiv": 5}}"#,
            ["rcpt.max_consecutiv: ", "`max_consecutive`"],
        ),
        (r#"{"mode": "enforced"}"#, ["mode: ", "`observe`"]),
        (r#"{"mode": "observe""#, [".: ", "EOF"]),
        ("[]", [".: ", "expected a map"]),
    ] {
        let message = refusal(json);
        for part in parts {
            assert!(message.contains(part), "{json}: {message}");
        }
    }
}

#[test]
fn operators_texts_are_what_the_client_reads() {
    let json = r#"{"replies": {"rcpt_total": "554 5.7.1 {client} guessed {rejected} names"}}"#;
    let policy = Policy::read(json.as_bytes()).unwrap();
    let counts = portcullis_core::policy::Counts {
        rejected: 10,
        ..Default::default()
    };
    let facts = Facts {
        client: "192.0.2.7".parse().ok(),
        counts: &counts,
        listing: None,
    };
    let line = policy.last_word(Rule::RcptTotal, facts);
    assert_eq!(line, b"554 5.7.1 192.0.2.7 guessed 10 names\r\n");
}

#[cfg(feature = "schema")]
#[test]
fn the_schema_accepts_what_the_reader_accepts() {
    let schema = serde_json::to_value(schemars::schema_for!(Config)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (json, valid) in [
        ("{}", true),
        (
            r#"{"mode": "observe", "exempt": {"networks": ["192.0.2.0/24"]}}"#,
            true,
        ),
        (
            r#"{"rcpt": {"max_total": null, "metering": "reply-452"}}"#,
            true,
        ),
        (r#"{"rcpt": {"max_total": 0}}"#, false),
        (r#"{"nothing": 1}"#, false),
        (r#"{"mode": "watch"}"#, false),
    ] {
        let instance = serde_json::from_str(json).unwrap();
        assert_eq!(validator.is_valid(&instance), valid, "{json}");
        assert_eq!(Policy::read(json.as_bytes()).is_ok(), valid, "{json}");
    }
}
