//! Transcripts out of an access log.

use std::io::BufRead;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::clock::Timestamp;
use crate::scenario::{Check, Scenario, ScenarioError, Subject};

/// The field that holds a transcript.
const FIELD: &str = "transcript";

/// A session as it was written down.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// The line of the log, from 1.
    pub line: usize,
    /// What the filter wrote.
    pub text: String,
    /// The same, to be replayed.
    pub scenario: Scenario,
    /// The filter's record of the session.
    pub record: Option<Map<String, Value>>,
}

/// Why a log cannot be read.
#[derive(Debug, Error)]
pub enum LogError {
    /// The system's reason.
    #[error("line {line}: {source}")]
    Read {
        /// The line, from 1.
        line: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// A transcript is no scenario.
    #[error("line {line}: its transcript is no scenario: {source}")]
    Transcript {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        source: Box<ScenarioError>,
    },
}

/// Which sessions of a log are meant: those that are all of this.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// The client is in one of these networks; any, if there are none.
    pub clients: Vec<IpNet>,
    /// The record's verdict.
    pub verdict: Option<String>,
    /// The record's rule.
    pub rule: Option<String>,
    /// It began then or later.
    pub since: Option<Timestamp>,
    /// It began before.
    pub until: Option<Timestamp>,
}

/// Reads the transcripts of a log. Lines without one, and what is no JSON, are passed over: Envoy
/// may write other things to the same place.
///
/// # Errors
/// [`LogError`] at the first line that cannot be read.
pub fn read(log: impl BufRead, choice: &Choice) -> Result<Vec<Transcript>, LogError> {
    let mut found = Vec::new();
    for (index, line) in log.lines().enumerate() {
        let number = index + 1;
        let read = |source| LogError::Read {
            line: number,
            source,
        };
        let line = line.map_err(read)?;
        let Ok(Value::Object(fields)) = serde_json::from_str(&line) else {
            continue;
        };
        if let Some(transcript) = Transcript::of(number, fields)?
            && choice.holds(&transcript)
        {
            found.push(transcript);
        }
    }
    Ok(found)
}

impl Transcript {
    fn of(line: usize, mut fields: Map<String, Value>) -> Result<Option<Self>, LogError> {
        let Some(Value::String(text)) = fields.remove(FIELD) else {
            return Ok(None);
        };
        let parsed = text.parse().map_err(Box::new);
        let scenario = parsed.map_err(|source| LogError::Transcript { line, source })?;
        let objects = fields.into_iter().map(|(_, value)| value);
        let record = objects.into_iter().find_map(|value| match value {
            Value::Object(record) => Some(record),
            _ => None,
        });
        Ok(Some(Self {
            line,
            text,
            scenario,
            record,
        }))
    }

    /// A field of the record, if that is a text.
    #[must_use]
    pub fn says(&self, field: &str) -> Option<&str> {
        self.record.as_ref()?.get(field)?.as_str()
    }

    /// A header of the transcript that is only noted.
    #[must_use]
    pub fn note(&self, name: &str) -> Option<&str> {
        let mut notes = self.scenario.record.notes.iter();
        notes.find_map(|(known, value)| (known == name).then_some(value.as_str()))
    }

    /// The scenario with what the record says as checks, so that a replay of it alone is judged.
    #[must_use]
    pub fn checked(&self, property: &str, fields: &[String]) -> Scenario {
        let mut scenario = self.scenario.clone();
        let record = self.record.iter();
        let values =
            record.flat_map(|record| fields.iter().map(|field| (field, record.get(field))));
        scenario.checks = values
            .filter_map(|(field, value)| {
                let subject = Subject::Json {
                    property: property.to_owned(),
                    pointer: format!("/{field}"),
                    value: value?.clone(),
                };
                Some(Check { line: 0, subject })
            })
            .collect();
        scenario
    }
}

impl Choice {
    fn holds(&self, transcript: &Transcript) -> bool {
        let client: IpAddr = transcript.scenario.client.ip().to_canonical();
        let started = transcript.scenario.record.started;
        let is = |wanted: &Option<String>, field| {
            wanted.is_none() || wanted.as_deref() == transcript.says(field)
        };
        (self.clients.is_empty() || self.clients.iter().any(|net| net.contains(&client)))
            && is(&self.verdict, "verdict")
            && is(&self.rule, "rule")
            && self.since.is_none_or(|since| started >= Some(since))
            && self
                .until
                .is_none_or(|until| started.is_some_and(|at| at < until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"[2026-01-31] envoy starts
{"start":"x","portcullis":{"verdict":"admit","rule":null},"transcript":"client: 192.0.2.1:1\nstarted: 2026-01-31T10:00:00.000001Z\n\n0.5 C> NOOP\n"}
{"start":"x","portcullis":null}
{"portcullis":{"verdict":"close","rule":"r"},"transcript":"client: [2001:db8::1]:1\nstarted: 2026-01-31T11:00:00Z\n"}
"#;

    fn chosen(choice: &Choice) -> Vec<usize> {
        let found = read(LOG.as_bytes(), choice).unwrap();
        found.iter().map(|transcript| transcript.line).collect()
    }

    #[test]
    fn lines_are_chosen_by_client_record_and_time() {
        let all = Choice::default();
        assert_eq!(chosen(&all), [2, 4]);
        let net = |net: &str| vec![net.parse().unwrap()];
        let of = |clients| Choice {
            clients,
            ..Choice::default()
        };
        assert_eq!(chosen(&of(net("192.0.2.0/24"))), [2]);
        assert_eq!(chosen(&of(net("2001:db8::/32"))), [4]);
        let verdict = Choice {
            verdict: Some("close".to_owned()),
            ..Choice::default()
        };
        assert_eq!(chosen(&verdict), [4]);
        let rule = Choice {
            rule: Some("q".to_owned()),
            ..Choice::default()
        };
        assert!(chosen(&rule).is_empty());
        let first = read(LOG.as_bytes(), &all).unwrap().remove(0);
        let started = first.scenario.record.started;
        let since = Choice {
            since: started,
            ..Choice::default()
        };
        assert_eq!(chosen(&since), [2, 4]);
        let until = Choice {
            until: started,
            ..Choice::default()
        };
        assert!(chosen(&until).is_empty());
        let text = first
            .checked("p", &["verdict".into(), "rule".into()])
            .to_string();
        assert!(text.contains("?json p /verdict \"admit\"\n"), "{text}");
        assert!(text.contains("?json p /rule null\n"), "{text}");
    }

    #[test]
    fn a_transcript_that_is_none_is_told_of() {
        let error = read(&br#"{"transcript":"X> what"}"#[..], &Choice::default()).unwrap_err();
        assert!(error.to_string().starts_with("line 1: "), "{error}");
    }
}
