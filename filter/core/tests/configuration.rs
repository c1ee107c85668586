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
            r#"{"ledger": {"max_score": 0}}"#,
            "ledger.max_score: expected 1..=10000, got 0",
        ),
        (
            r#"{"ledger": {"listing": {"first_s": 600, "max_s": 599}}}"#,
            "ledger.listing.max_s: expected 600..=2592000, got 599",
        ),
        (
            r#"{"ledger": {"standing": {"min_delivered": 10001}}}"#,
            "ledger.standing.min_delivered: expected 1..=10000, got 10001",
        ),
        (
            r#"{"ledger": {"slots": 65537}}"#,
            "ledger.slots: expected 0..=65536, got 65537",
        ),
        (
            r#"{"attack": {"enter_percent": 40, "leave_percent": 41}}"#,
            "attack.leave_percent: expected 0..=40, got 41",
        ),
        (
            r#"{"attack": {"clients_per_name": 1}}"#,
            "attack.clients_per_name: expected 2..=32, got 1",
        ),
        (
            r#"{"unknown": {"ttl_s": 3601}}"#,
            "unknown.ttl_s: expected 1..=3600, got 3601",
        ),
        (
            r#"{"traps": {"recipients": ["a@b.test", "a b@b.test"]}}"#,
            r#"traps.recipients[1]: expected 1 to 320 octets without blanks, as "sales-old@example.com", got "a b@b.test""#,
        ),
        (
            r#"{"fleet": {"prefix": "a:b"}}"#,
            r#"fleet.prefix: expected 1 to 64 letters, digits, dots, underscores and hyphens, got "a:b""#,
        ),
        (
            r#"{"fleet": {"authorization": "Basic \u00e9"}}"#,
            r#"fleet.authorization: expected 1 to 1024 printable octets, as "Basic ...", got something else"#,
        ),
        (
            r#"{"refusal": {"cluster": null}, "tarpit": {"sessions": 5}}"#,
            "tarpit.sessions: expected 0 without refusal.cluster, where such dialogues are played, got 5",
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
            ["rcpt.max_consecutive: ", "expected a whole number"],
        ),
        (
            r#"{"rcpt": {"max_consecutiv": 5}}"#,
            ["rcpt.max_consecutiv: ", "max_consecutive, max_total"],
        ),
        (r#"{"mode": "enforced"}"#, ["mode: ", "\"observe\""]),
        (r#"{"mode": "observe""#, [".: ", "EOF"]),
        ("[]", [".: ", "expected an object, got a list"]),
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

/// Each bounded number of the door: its path, its bounds.
const BOUNDS: [(&str, i64, i64); 16] = [
    ("client.ipv4_prefix", 8, 32),
    ("client.ipv6_prefix", 16, 128),
    ("sessions.max_per_client", 1, 100_000),
    ("dnsbl.threshold", 1, 100_000),
    ("dnsbl.budget_ms", 20, 10_000),
    ("dnsbl.timeout_ms", 50, 30_000),
    ("dnsbl.in_flight", 1, 100_000),
    ("dnsbl.self_test_s", 10, 86_400),
    ("dnsbl.ttl.min_s", 1, 86_400),
    ("dnsbl.ttl.max_s", 60, 86_400),
    ("dnsbl.ttl.error_s", 1, 3600),
    ("dnsbl.cache.clients", 16, 1_000_000),
    ("dnsbl.cache.shared_slots", 0, 65_536),
    ("dnsbl.breaker.failures", 1, 1000),
    ("dnsbl.breaker.retry_s", 1, 3600),
    ("dnsbl.breaker.max_retry_s", 5, 86_400),
];

/// An object with `value` at `path`, and its neighbours moved out of its way.
fn with(path: &str, value: i64) -> serde_json::Value {
    let beside = match path {
        "dnsbl.ttl.min_s" => serde_json::json!({"max_s": 86_400}),
        "dnsbl.breaker.retry_s" => serde_json::json!({"max_retry_s": 86_400}),
        _ => serde_json::json!({}),
    };
    let mut names = path.rsplit('.');
    let mut object = beside;
    object[names.next().unwrap()] = value.into();
    names.fold(object, |inner, name| serde_json::json!({ name: inner }))
}

#[test]
fn numbers_of_the_door_have_bounds() {
    for (path, min, max) in BOUNDS {
        for good in [min, max] {
            let read = Policy::read(with(path, good).to_string().as_bytes());
            assert!(read.is_ok(), "{path} {good}: {read:?}");
        }
        for bad in [min - 1, max + 1] {
            let message = refusal(&with(path, bad).to_string());
            let (path_told, fault) = message.split_once(": ").unwrap();
            assert_eq!(path_told, path);
            // What does not fit into the number at all is told by its reader.
            let ours = fault == format!("expected {min}..={max}, got {bad}");
            assert!(
                ours || fault.starts_with("expected a whole number"),
                "{message}"
            );
        }
    }
    let message = refusal(r#"{"dnsbl": {"threshold": -5}}"#);
    assert_eq!(message, "dnsbl.threshold: expected 1..=100000, got -5");
}

#[test]
fn what_a_door_cannot_be_is_told_with_its_mend() {
    let name = "a name of 1 to 255 printable octets without blanks";
    let path = r#"a path of at most 256 octets, as "/dns-query", without a query"#;
    let network = r#"a network as "192.0.2.0/24" or "2001:db8::/32""#;
    for (json, message) in [
        (r#"{"refusal": {"cluster": ""}}"#, format!(r#"refusal.cluster: expected {name}, got """#)),
        (r#"{"dnsbl": {"cluster": "a b"}}"#, format!(r#"dnsbl.cluster: expected {name}, got "a b""#)),
        (r#"{"dnsbl": {"authority": ""}}"#, format!(r#"dnsbl.authority: expected {name}, got """#)),
        (r#"{"dnsbl": {"path": "q"}}"#, format!(r#"dnsbl.path: expected {path}, got "q""#)),
        (r#"{"dnsbl": {"path": "/?x"}}"#, format!(r#"dnsbl.path: expected {path}, got "/?x""#)),
        (
            r#"{"listed": {"networks": ["192.0.2.0/24", "mail"]}}"#,
            format!(r#"listed.networks[1]: expected {network}, got "mail""#),
        ),
        (
            r#"{"replies": {"sessions": "hello"}}"#,
            r#"replies.sessions: expected a 4yz or 5yz code, a space and a text, got "hello""#.into(),
        ),
        (
            r#"{"dnsbl": {"sites": ["bl.test"], "replies": {"bl.test": "250 ok"}}}"#,
            r#"dnsbl.replies.bl.test: expected a 4yz or 5yz code, a space and a text, got "250 ok""#.into(),
        ),
        (
            r#"{"dnsbl": {"sites": ["bl.test"], "replies": {"other.test": "554 no"}}}"#,
            r#"dnsbl.replies.other.test: expected a domain of dnsbl.sites, got "other.test""#.into(),
        ),
    ] {
        assert_eq!(refusal(json), message);
    }
}

#[test]
fn faults_in_sites_say_where() {
    let sites = |sites: &str| format!(r#"{{"dnsbl": {{"sites": {sites}}}}}"#);
    for (json, message) in [
        (
            sites(r#"["a.test", "b.test*0"]"#),
            r#"dnsbl.sites[1]: expected a weight from 1 to 1000 or from -1000 to -1 at octet 7, got "b.test*0""#,
        ),
        (
            sites(r#"["b.test=127.0.0.x"]"#),
            r#"dnsbl.sites[0]: expected a number from 0 to 255 or [ at octet 15, got "b.test=127.0.0.x""#,
        ),
        (
            sites(r#"["-b.test"]"#),
            r#"dnsbl.sites[0]: expected a letter, a digit or _ at octet 0, got "-b.test""#,
        ),
    ] {
        assert_eq!(refusal(&json), message);
    }
    let many = |count: usize, site: &dyn Fn(usize) -> String| {
        let list: Vec<String> = (0..count).map(site).collect();
        sites(&serde_json::to_string(&list).unwrap())
    };
    let one_domain = |at: usize| format!("a.test=127.0.0.{at}");
    let domains = |at: usize| format!("a{at}.test");
    assert!(Policy::read(many(32, &one_domain).as_bytes()).is_ok());
    assert!(Policy::read(many(16, &domains).as_bytes()).is_ok());
    let message = refusal(&many(33, &one_domain));
    assert_eq!(message, "dnsbl.sites: expected at most 32 sites, got 33");
    let message = refusal(&many(17, &domains));
    assert_eq!(message, "dnsbl.sites: expected at most 16 domains, got 17");
}

#[test]
fn a_threshold_must_be_within_reach() {
    let json = |sites: &str, threshold: i32| {
        format!(r#"{{"dnsbl": {{"sites": {sites}, "threshold": {threshold}}}}}"#)
    };
    let two = r#"["a.test*2", "b.test=127.0.0.2*3", "b.test=127.0.0.3*-1", "good.test*-5"]"#;
    assert!(Policy::read(json(two, 5).as_bytes()).is_ok());
    assert_eq!(
        refusal(&json(two, 6)),
        "dnsbl.threshold: expected at most 5, what all sites together can weigh, got 6"
    );
    let only_good = refusal(&json(r#"["good.test*-5"]"#, 1));
    assert!(only_good.contains("at most 0"), "{only_good}");
    assert!(
        Policy::read(json("[]", 9).as_bytes()).is_ok(),
        "nobody is asked"
    );
}

#[test]
fn own_lists_have_bounds() {
    let networks = |section: &str, count: u32| {
        let list: Vec<String> = (0..count)
            .map(|at| std::net::Ipv4Addr::from(0x0100_0000 + at).to_string())
            .collect();
        serde_json::json!({ section: {"networks": list} }).to_string()
    };
    let policy = Policy::read(networks("listed", 100_000).as_bytes()).unwrap();
    assert!(policy.lists("1.0.0.0".parse().unwrap()));
    assert!(
        policy.lists("::ffff:1.1.134.159".parse().unwrap()),
        "the last one"
    );
    assert!(!policy.lists("1.1.134.160".parse().unwrap()));
    let message = refusal(&networks("listed", 100_001));
    assert_eq!(
        message,
        "listed.networks: expected at most 100000 networks, got 100001"
    );
    let message = refusal(&networks("exempt", 1001));
    assert_eq!(
        message,
        "exempt.networks: expected at most 1000 networks, got 1001"
    );
}

#[test]
fn clients_are_looked_up_only_where_there_are_sites() {
    use portcullis_core::policy::LookupMode;
    for (json, mode) in [
        ("{}", LookupMode::Off),
        (
            r#"{"dnsbl": {"lookup": "first-rejection"}}"#,
            LookupMode::Off,
        ),
        (r#"{"dnsbl": {"sites": ["a.test"]}}"#, LookupMode::Connect),
        (
            r#"{"dnsbl": {"sites": ["a.test"], "lookup": "first-rejection"}}"#,
            LookupMode::FirstRejection,
        ),
        (
            r#"{"dnsbl": {"sites": ["a.test"], "lookup": "off"}}"#,
            LookupMode::Off,
        ),
    ] {
        assert_eq!(
            Policy::read(json.as_bytes()).unwrap().lookup(),
            mode,
            "{json}"
        );
    }
}

#[cfg(feature = "schema")]
#[test]
fn the_schema_has_the_bounds_of_the_door() {
    let schema = serde_json::to_value(schemars::schema_for!(Config)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (path, min, max) in BOUNDS {
        // A bound that is another field's value is beyond a schema.
        let fixed = !matches!(path, "dnsbl.ttl.max_s" | "dnsbl.breaker.max_retry_s");
        for (value, valid) in [(min, true), (max, true), (max + 1, false), (min - 1, false)] {
            let instance = with(path, value);
            if fixed || value != min - 1 {
                assert_eq!(validator.is_valid(&instance), valid, "{path} {value}");
            }
        }
    }
    for (json, valid) in [
        (
            r#"{"refusal": {"cluster": null}, "sessions": {"max_per_client": null}}"#,
            true,
        ),
        (
            r#"{"dnsbl": {"lookup": "first-rejection", "method": "post", "text": "txt"}}"#,
            true,
        ),
        (r#"{"dnsbl": {"reserved": "ask"}}"#, true),
        (r#"{"dnsbl": {"reserved": "yes"}}"#, false),
        (r#"{"dnsbl": {"sites": [1]}}"#, false),
        (r#"{"dnsbl": {"cache": {"slots": 1}}}"#, false),
    ] {
        let instance = serde_json::from_str(json).unwrap();
        assert_eq!(validator.is_valid(&instance), valid, "{json}");
        assert_eq!(Policy::read(json.as_bytes()).is_ok(), valid, "{json}");
    }
}
