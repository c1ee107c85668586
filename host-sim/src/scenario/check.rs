//! What must hold at the end of a session.

use super::error::{ErrorKind, Located};
use super::report::Failure;
use super::syntax::Word;
use crate::observe::CloseReason;

/// What must hold at the end of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The line in the file, from 1.
    pub line: usize,
    /// What is looked at, and what for.
    pub subject: Subject,
}

/// What a check looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Some log line contains this.
    Log(String),
    /// What the filter set as a property contains this.
    Property {
        /// The property.
        name: String,
        /// What it must contain.
        text: String,
    },
    /// What the filter set as a property is JSON, and has this value in it.
    Json {
        /// The property.
        property: String,
        /// Where in it (RFC 6901).
        pointer: String,
        /// The value, which must be equal.
        value: serde_json::Value,
    },
    /// The session ended for this reason.
    Closed(CloseReason),
    /// Each side has read exactly what the other wrote.
    Unchanged,
}

impl Subject {
    pub(super) fn read(marker: Word<'_>, rest: Word<'_>) -> Result<Self, Located> {
        let text = rest.text;
        let empty = || marker.wrong(ErrorKind::EmptyCheck(marker.text.to_owned()));
        match marker.text {
            "?log" if text.is_empty() => Err(empty()),
            "?log" => Ok(Self::Log(text.to_owned())),
            "?property" => {
                let (name, text) = rest.split();
                let (name, text) = (name.text.to_owned(), text.trim().text.to_owned());
                if text.is_empty() {
                    return Err(empty());
                }
                Ok(Self::Property { name, text })
            }
            "?json" => json(rest).ok_or_else(|| rest.wrong(ErrorKind::BadJsonCheck)),
            "?closed" => {
                let reason = REASONS.into_iter().find(|reason| reason.name() == text);
                let reason = reason.ok_or_else(|| rest.wrong(ErrorKind::BadReason(text.into())));
                Ok(Self::Closed(reason?))
            }
            "?unchanged" if text.is_empty() => Ok(Self::Unchanged),
            "?unchanged" => Err(rest.wrong(ErrorKind::UnwantedText(marker.text.to_owned()))),
            _ => Err(marker.wrong(ErrorKind::UnknownMarker(marker.text.to_owned()))),
        }
    }

    /// The check as a scenario writes it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Log(text) => format!("?log {text}"),
            Self::Property { name, text } => format!("?property {name} {text}"),
            Self::Json {
                property,
                pointer,
                value,
            } => format!("?json {property} {pointer} {value}"),
            Self::Closed(reason) => format!("?closed {}", reason.name()),
            Self::Unchanged => "?unchanged".to_owned(),
        }
    }
}

fn json(rest: Word<'_>) -> Option<Subject> {
    let (property, rest) = rest.split();
    let (pointer, value) = rest.trim_start().split();
    let pointer = pointer.text;
    let place = pointer.starts_with('/');
    Some(Subject::Json {
        property: property.text.to_owned(),
        pointer: pointer.to_owned(),
        value: serde_json::from_str(value.text).ok().filter(|_| place)?,
    })
}

/// What a session can end for.
const REASONS: [CloseReason; 9] = [
    CloseReason::Finished,
    CloseReason::Filter,
    CloseReason::ClientReset,
    CloseReason::ServerReset,
    CloseReason::ConnectFailed,
    CloseReason::NoCluster,
    CloseReason::Idle,
    CloseReason::Shutdown,
    CloseReason::Trap,
];

/// The names of all reasons, for an error's text.
pub(super) fn reasons() -> String {
    REASONS.map(CloseReason::name).join(", ")
}

/// A value that was looked at, against the check.
pub(super) fn judge_json(
    line: usize,
    pointer: &str,
    expected: &serde_json::Value,
    set: Option<&[u8]>,
) -> Option<Failure> {
    let failure = |got: String| {
        Some(Failure {
            line: Some(line),
            expected: format!("{expected} at {pointer}"),
            got,
        })
    };
    let Some(set) = set else {
        return failure("no such property".to_owned());
    };
    let Ok(parsed) = serde_json::from_slice::<serde_json::Value>(set) else {
        return failure(format!("no JSON: `{}`", String::from_utf8_lossy(set)));
    };
    match parsed.pointer(pointer) {
        Some(found) if found == expected => None,
        Some(found) => failure(found.to_string()),
        None => failure(format!("nothing there in {parsed}")),
    }
}
