//! What is remembered of clients, and what follows from it.

use super::{Range, given, name_fault};
use crate::policy::config::{Config, FleetConfig};
use crate::policy::error::{ConfigError, quoted};

pub(super) fn ranges(config: &Config) -> Vec<Range> {
    const MONTH: u32 = 2_592_000;
    let (ledger, attack, unknown) = (&config.ledger, &config.attack, &config.unknown);
    let (fleet, tarpit) = (&config.fleet, &config.tarpit);
    let (listing, standing) = (&ledger.listing, &ledger.standing);
    // A lower one that is out of its own range is told of once.
    let least_max = listing.first_s.clamp(1, MONTH);
    let most_leave = attack.enter_percent.clamp(1, 100);
    let name_clients = attack.clients_per_name.unwrap_or(2);
    vec![
        ("ledger.max_score", given(ledger.max_score), 1, 10_000),
        ("ledger.half_life_s", ledger.half_life_s, 60, 604_800),
        ("ledger.ratio_percent", ledger.ratio_percent, 0, 10_000),
        ("ledger.listing.first_s", listing.first_s, 1, MONTH),
        ("ledger.listing.max_s", listing.max_s, least_max, MONTH),
        (
            "ledger.standing.min_delivered",
            given(standing.min_delivered),
            1,
            10_000,
        ),
        (
            "ledger.standing.half_life_s",
            standing.half_life_s,
            60,
            MONTH,
        ),
        ("ledger.slots", ledger.slots, 0, 65_536),
        ("attack.enter_percent", attack.enter_percent, 1, 100),
        ("attack.leave_percent", attack.leave_percent, 0, most_leave),
        ("attack.min_rejected", attack.min_rejected, 1, 1_000_000),
        ("attack.clients_per_name", name_clients, 2, 32),
        ("attack.hold_s", attack.hold_s, 1, 86_400),
        (
            "attack.max_consecutive",
            given(attack.max_consecutive),
            1,
            1000,
        ),
        ("attack.max_score", given(attack.max_score), 1, 10_000),
        ("unknown.ttl_s", unknown.ttl_s, 1, 3600),
        ("unknown.recipients", unknown.recipients, 1, 100_000),
        ("fleet.poll_ms", fleet.poll_ms, 20, 60_000),
        ("fleet.timeout_ms", fleet.timeout_ms, 50, 30_000),
        ("fleet.queued", fleet.queued, 16, 100_000),
        ("tarpit.sessions", tarpit.sessions, 0, 10_000),
        ("tarpit.reply_ms", tarpit.reply_ms, 20, 60_000),
        ("tarpit.max_s", tarpit.max_s, 1, 3600),
        ("tarpit.delay_ms", tarpit.delay_ms, 0, 10_000),
        ("tarpit.max_delay_ms", tarpit.max_delay_ms, 20, 60_000),
    ]
}

pub(super) fn faults(config: &Config) -> Vec<ConfigError> {
    let mut errors = traps(&config.traps.recipients);
    errors.extend(fleet(&config.fleet));
    if config.tarpit.sessions > 0 && config.refusal.cluster.is_none() {
        let expected = "0 without refusal.cluster, where such dialogues are played";
        errors.push(ConfigError::new(
            "tarpit.sessions",
            expected,
            config.tarpit.sessions,
        ));
    }
    errors
}

fn traps(recipients: &[String]) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    if recipients.len() > 1000 {
        let error = ConfigError::new("traps.recipients", "at most 1000", recipients.len());
        errors.push(error);
    }
    for (index, recipient) in recipients.iter().enumerate() {
        let readable = recipient
            .chars()
            .all(|c| !c.is_whitespace() && !c.is_control());
        if !(1..=320).contains(&recipient.len()) || !readable {
            let path = format!("traps.recipients[{index}]");
            let expected = "1 to 320 octets without blanks, as \"sales-old@example.com\"";
            errors.push(ConfigError::new(&path, expected, quoted(recipient)));
        }
    }
    errors
}

fn fleet(fleet: &FleetConfig) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    if let Some(cluster) = &fleet.cluster {
        errors.extend(name_fault("fleet.cluster", cluster));
    }
    errors.extend(name_fault("fleet.authority", &fleet.authority));
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"._-".contains(&octet);
    let prefix = &fleet.prefix;
    if !(1..=64).contains(&prefix.len()) || !prefix.bytes().all(plain) {
        let expected = "1 to 64 letters, digits, dots, underscores and hyphens";
        errors.push(ConfigError::new("fleet.prefix", expected, quoted(prefix)));
    }
    let printable = |text: &String| {
        (1..=1024).contains(&text.len()) && text.bytes().all(|o| (b' '..=b'~').contains(&o))
    };
    if fleet
        .authorization
        .as_ref()
        .is_some_and(|text| !printable(text))
    {
        // What stands there may be a secret.
        let expected = "1 to 1024 printable octets, as \"Basic ...\"";
        errors.push(ConfigError::new(
            "fleet.authorization",
            expected,
            "something else",
        ));
    }
    errors
}
