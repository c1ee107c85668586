//! One line of the access log.

use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

/// The longest text that is kept of a field, in letters. The guard writes nothing longer, but a
/// file says what its writers want.
const LONGEST: usize = 80;

/// What a session left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Record {
    /// When it began, as Envoy writes it.
    pub(crate) start: Option<String>,
    /// The client's address.
    pub(crate) client: String,
    /// What counts as the client: a network.
    #[serde(skip)]
    pub(crate) prefix: String,
    /// What became of it.
    pub(crate) verdict: String,
    /// By which rule.
    pub(crate) rule: Option<String>,
    /// Recipients answered.
    pub(crate) tried: u64,
    /// Recipients unknown.
    pub(crate) rejected: u64,
    /// Messages taken.
    pub(crate) messages: u64,
    /// When it ended, in milliseconds since the Unix epoch.
    #[serde(skip)]
    pub(crate) ended_ms: Option<u64>,
    /// Its listing, if it has one.
    #[serde(skip)]
    pub(crate) listed: Option<Listed>,
}

/// A listing as the record tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Listed {
    /// Why.
    pub(crate) reason: String,
    /// Until when, in seconds since the Unix epoch.
    pub(crate) until: u64,
    /// How often in a row.
    #[serde(default)]
    pub(crate) times: u64,
}

impl Record {
    /// Whether a rule was met, be it only observed.
    pub(crate) fn met_a_rule(&self) -> bool {
        !matches!(self.verdict.as_str(), "admit" | "exempt")
    }

    /// Reads a line. `Ok(None)` is a line of Envoy's without a record: the policy asks for none, or
    /// the session never reached the guard.
    pub(crate) fn parse(line: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        let line: Line = serde_json::from_slice(line)?;
        let Some(told) = line.portcullis else {
            return Ok(None);
        };
        let client = told.client.or(line.client).unwrap_or_default();
        let listed = told.listed.map(|listed| Listed {
            reason: short(listed.reason),
            ..listed
        });
        Ok(Some(Self {
            ended_ms: line
                .start
                .as_deref()
                .and_then(unix_ms)
                .map(|began| began.saturating_add(line.duration_ms.unwrap_or_default())),
            start: line.start.map(short),
            prefix: short(told.prefix.unwrap_or_else(|| client.clone())),
            client: short(client),
            verdict: short(told.verdict),
            rule: told.rule.map(short),
            tried: told.tried,
            rejected: told.rejected,
            messages: told.messages,
            listed,
        }))
    }
}

fn unix_ms(text: &str) -> Option<u64> {
    let moment = humantime::parse_rfc3339(text).ok()?;
    let since = moment.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

fn short(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[derive(Deserialize)]
struct Line {
    start: Option<String>,
    duration_ms: Option<u64>,
    client: Option<String>,
    portcullis: Option<Told>,
}

#[derive(Deserialize)]
struct Told {
    client: Option<String>,
    prefix: Option<String>,
    verdict: String,
    rule: Option<String>,
    listed: Option<Listed>,
    #[serde(default)]
    tried: u64,
    #[serde(default)]
    rejected: u64,
    #[serde(default)]
    messages: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_is_read() {
        let line = br#"{"start":"2026-11-26T14:00:00.000Z","client":"203.0.113.7:40001","peer":"127.0.0.1:5",
            "connection":7,"duration_ms":1500,"flags":"-","portcullis":{"client":"203.0.113.7","prefix":"203.0.113.0/24",
            "verdict":"close","rule":"rcpt.max_consecutive","mode":"enforce","policy":"5477a4babbc2",
            "opaque":null,"tls":false,"dnsbl":null,
            "listed":{"reason":"ledger.streak","until":1795700404,"times":1},
            "tried":5,"accepted":0,"rejected":5,"messages":0,"observed":[],"ended":"guard"}}"#;
        let record = Record::parse(line).unwrap().unwrap();
        assert_eq!(record.start.as_deref(), Some("2026-11-26T14:00:00.000Z"));
        assert_eq!(record.ended_ms, Some(1_795_701_601_500));
        assert_eq!(record.client, "203.0.113.7");
        assert_eq!(record.prefix, "203.0.113.0/24");
        assert_eq!(record.verdict, "close");
        assert_eq!(record.rule.as_deref(), Some("rcpt.max_consecutive"));
        assert_eq!((record.tried, record.rejected, record.messages), (5, 5, 0));
        let listed = record.listed.unwrap();
        assert_eq!(
            (listed.reason.as_str(), listed.until),
            ("ledger.streak", 1_795_700_404)
        );
    }

    #[test]
    fn a_session_without_a_record_is_no_fault() {
        let line = br#"{"client":"203.0.113.7:40001","portcullis":null}"#;
        assert_eq!(Record::parse(line).unwrap(), None);
    }

    #[test]
    fn other_lines_are_faults() {
        for line in [
            "",
            "[2026-11-26] 203.0.113.7",
            "{",
            "[]",
            r#"{"portcullis":{}}"#,
            r#"{"portcullis":{"verdict":"close","tried":-1}}"#,
            r#"{"portcullis":{"verdict":"close","listed":{"reason":"x"}}}"#,
        ] {
            assert!(Record::parse(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn long_texts_are_cut() {
        let long = "é".repeat(10_000);
        let line = format!(
            r#"{{"start":"{long}","portcullis":{{"client":"{long}","verdict":"{long}","rule":"{long}",
            "listed":{{"reason":"{long}","until":1}}}}}}"#
        );
        let record = Record::parse(line.as_bytes()).unwrap().unwrap();
        let short = format!("{}…", "é".repeat(LONGEST));
        assert_eq!(record.client, short);
        assert_eq!(record.prefix, short);
        assert_eq!(record.verdict, short);
        assert_eq!(record.rule.unwrap(), short);
        assert_eq!(record.start.unwrap(), short);
        assert_eq!(record.listed.unwrap().reason, short);
    }
}
