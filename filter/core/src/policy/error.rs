//! What is wrong with a configuration, and how to mend it.

use std::fmt;
use thiserror::Error;

/// One fault: the path of the field, what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: expected {expected}, got {got}")]
pub struct ConfigError {
    /// Where, as `rcpt.max_consecutive` or `exempt.networks[2]`.
    pub path: String,
    /// What would do.
    pub expected: String,
    /// What stands there.
    pub got: String,
}

impl ConfigError {
    pub(crate) fn new(path: &str, expected: &str, got: impl fmt::Display) -> Self {
        Self::of(path, expected, &got)
    }

    /// The same, once in the filter for whatever was got.
    fn of(path: &str, expected: &str, got: &dyn fmt::Display) -> Self {
        Self {
            path: path.to_owned(),
            expected: expected.to_owned(),
            got: got.to_string(),
        }
    }
}

/// A text as it stands in JSON.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// Everything wrong with one configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigErrors {
    /// It is no JSON object; what the JSON reader says.
    #[error(".: {0}")]
    Json(String),
    /// Fields that do not exist, values of the wrong kind or out of their ranges.
    #[error("{}", join(.0))]
    Values(Vec<ConfigError>),
}

fn join(errors: &[ConfigError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("; ")
}
