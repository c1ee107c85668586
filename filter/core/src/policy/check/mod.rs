//! Values that are out of their ranges.

mod memory;

use super::config::{Config, DnsblConfig};
use super::error::{ConfigError, quoted};

/// A field, its value, the least and the most it may be.
type Range = (&'static str, u32, u32, u32);

/// What is null has no bounds.
fn given(value: Option<u32>) -> u32 {
    value.unwrap_or(1)
}

/// Every value of `config` that is out of its range.
pub(super) fn faults(config: &Config) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    let (rcpt, reset, limits) = (&config.rcpt, &config.reset, &config.limits);
    let (client, sessions) = (&config.client, &config.sessions);
    let ranges = [
        ("rcpt.max_consecutive", given(rcpt.max_consecutive), 1, 1000),
        ("rcpt.max_total", given(rcpt.max_total), 1, 100_000),
        ("reset.max_wasted", reset.max_wasted, 1, 1000),
        ("reset.min_rejected", reset.min_rejected, 1, 1000),
        ("observe.percent", config.observe.percent, 0, 100),
        ("record.percent", config.record.percent, 0, 100),
        ("transcripts.percent", config.transcripts.percent, 0, 100),
        (
            "transcripts.after_rejections",
            given(config.transcripts.after_rejections),
            1,
            1000,
        ),
        (
            "transcripts.max_bytes",
            config.transcripts.max_bytes,
            1024,
            1_048_576,
        ),
        (
            "transcripts.max_worker_bytes",
            config.transcripts.max_worker_bytes,
            65536,
            1 << 30,
        ),
        ("close.linger_ms", config.close.linger_ms, 0, 5000),
        ("limits.command_line", limits.command_line, 512, 65536),
        ("limits.reply", limits.reply, 512, 65536),
        ("limits.held", limits.held, 1024, 1_048_576),
        ("limits.owed_replies", limits.owed_replies, 16, 10_000),
        ("limits.handshake_ms", limits.handshake_ms, 1000, 600_000),
        ("client.ipv4_prefix", client.ipv4_prefix.into(), 8, 32),
        ("client.ipv6_prefix", client.ipv6_prefix.into(), 16, 128),
        (
            "sessions.max_per_client",
            given(sessions.max_per_client),
            1,
            100_000,
        ),
    ];
    let dnsbl = &config.dnsbl;
    let ranges = ranges.into_iter().chain(dnsbl_ranges(dnsbl));
    for (path, value, min, max) in ranges.chain(memory::ranges(config)) {
        if !(min..=max).contains(&value) {
            errors.push(ConfigError::new(path, &format!("{min}..={max}"), value));
        }
    }
    if limits.held <= limits.command_line {
        let expected = format!("more than limits.command_line ({})", limits.command_line);
        errors.push(ConfigError::new("limits.held", &expected, limits.held));
    }
    let mut at_most = |path: &str, most: usize, what: &str, got: usize| {
        if got > most {
            errors.push(ConfigError::new(
                path,
                &format!("at most {most} {what}"),
                got,
            ));
        }
    };
    at_most(
        "exempt.networks",
        1000,
        "networks",
        config.exempt.networks.len(),
    );
    at_most(
        "listed.networks",
        100_000,
        "networks",
        config.listed.networks.len(),
    );
    at_most(
        "transcripts.networks",
        1000,
        "networks",
        config.transcripts.networks.len(),
    );
    if let Some(version) = &config.version {
        let good =
            (1..=64).contains(&version.len()) && version.bytes().all(|o| o.is_ascii_graphic());
        if !good {
            let expected = "1 to 64 printable octets without blanks";
            errors.push(ConfigError::new("version", expected, quoted(version)));
        }
    }
    if let Some(cluster) = &config.refusal.cluster {
        errors.extend(name_fault("refusal.cluster", cluster));
    }
    errors.extend(dnsbl_faults(dnsbl));
    errors.extend(memory::faults(config));
    errors.extend(text_faults(&rcpt.rejected_text));
    errors
}

fn text_faults(texts: &[String]) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    if texts.len() > 64 {
        let error = ConfigError::new("rcpt.rejected_text", "at most 64 texts", texts.len());
        errors.push(error);
    }
    for (index, text) in texts.iter().enumerate() {
        if text.trim().is_empty() || text.len() > 128 {
            let path = format!("rcpt.rejected_text[{index}]");
            let got = quoted(text);
            errors.push(ConfigError::new(
                &path,
                "1 to 128 octets, not all blank",
                got,
            ));
        }
    }
    errors
}

fn dnsbl_ranges(dnsbl: &DnsblConfig) -> [Range; 12] {
    let (ttl, cache, breaker) = (&dnsbl.ttl, &dnsbl.cache, &dnsbl.breaker);
    // A lower one that is too high itself is told of once.
    let (least_ttl, least_retry) = (ttl.min_s.min(86_400), breaker.retry_s.min(3600));
    [
        ("dnsbl.budget_ms", dnsbl.budget_ms, 20, 10_000),
        ("dnsbl.timeout_ms", dnsbl.timeout_ms, 50, 30_000),
        ("dnsbl.in_flight", dnsbl.in_flight, 1, 100_000),
        ("dnsbl.self_test_s", dnsbl.self_test_s, 10, 86_400),
        ("dnsbl.ttl.min_s", ttl.min_s, 1, 86_400),
        ("dnsbl.ttl.max_s", ttl.max_s, least_ttl, 86_400),
        ("dnsbl.ttl.error_s", ttl.error_s, 1, 3600),
        ("dnsbl.cache.clients", cache.clients, 16, 1_000_000),
        ("dnsbl.cache.shared_slots", cache.shared_slots, 0, 65_536),
        ("dnsbl.breaker.failures", breaker.failures, 1, 1000),
        ("dnsbl.breaker.retry_s", breaker.retry_s, 1, 3600),
        (
            "dnsbl.breaker.max_retry_s",
            breaker.max_retry_s,
            least_retry,
            86_400,
        ),
    ]
}

fn dnsbl_faults(dnsbl: &DnsblConfig) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    if !(1..=100_000).contains(&dnsbl.threshold) {
        let error = ConfigError::new("dnsbl.threshold", "1..=100000", dnsbl.threshold);
        errors.push(error);
    }
    errors.extend(name_fault("dnsbl.cluster", &dnsbl.cluster));
    errors.extend(name_fault("dnsbl.authority", &dnsbl.authority));
    let path = &dnsbl.path;
    let is_path = path.starts_with('/')
        && path.len() <= 256
        && path
            .bytes()
            .all(|octet| octet.is_ascii_graphic() && !b"?#".contains(&octet));
    if !is_path {
        let expected = "a path of at most 256 octets, as \"/dns-query\", without a query";
        errors.push(ConfigError::new("dnsbl.path", expected, quoted(path)));
    }
    errors
}

fn name_fault(path: &str, name: &str) -> Option<ConfigError> {
    let good =
        (1..=255).contains(&name.len()) && name.bytes().all(|octet| octet.is_ascii_graphic());
    let expected = "a name of 1 to 255 printable octets without blanks";
    (!good).then(|| ConfigError::new(path, expected, quoted(name)))
}
