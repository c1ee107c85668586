//! Configurations of the wrong shape.
//!
//! A reader that keeps track of where it is would be twice as large, and every worker loads it.
//! Instead, what cannot be read is looked at piece by piece until the piece is found.

use super::config::Config;
use super::error::ConfigErrors;
use serde_json::{Error, Map, Value};
use std::fmt::Write;

/// A way from the whole to one of its pieces.
#[derive(Debug, Clone)]
enum Step {
    Field(String),
    Item(usize),
}

/// Reads a configuration.
///
/// # Errors
/// [`ConfigErrors::Shape`] with the path of the first piece that cannot be read.
pub(super) fn read(value: Value) -> Result<Config, ConfigErrors> {
    serde_json::from_value(value.clone()).map_err(|error| {
        let mut way = Vec::new();
        let error = narrow(&value, &mut way).unwrap_or(error);
        ConfigErrors::Shape {
            path: path(&way),
            message: error.to_string(),
        }
    })
}

/// Goes on to the first piece of `value` that alone cannot be read either; what is wrong with it.
fn narrow(value: &Value, way: &mut Vec<Step>) -> Option<Error> {
    let empty = match value {
        Value::Object(_) => Value::Object(Map::new()),
        Value::Array(_) => Value::Array(Vec::new()),
        _ => return None,
    };
    if serde_json::from_value::<Config>(alone(&empty, way)).is_err() {
        // It is not what stands in it.
        return None;
    }
    let pieces: Vec<(Step, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, piece)| (Step::Field(name.clone()), piece))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, piece)| (Step::Item(index), piece))
            .collect(),
        _ => Vec::new(),
    };
    for (step, piece) in pieces {
        way.push(step);
        if let Err(error) = serde_json::from_value::<Config>(alone(piece, way)) {
            return Some(narrow(piece, way).unwrap_or(error));
        }
        way.pop();
    }
    None
}

/// A whole with nothing but this piece in it.
fn alone(piece: &Value, way: &[Step]) -> Value {
    let outwards = way.iter().rev();
    outwards.fold(piece.clone(), |inner, step| match step {
        Step::Field(name) => {
            let mut fields = Map::new();
            fields.insert(name.clone(), inner);
            Value::Object(fields)
        }
        Step::Item(_) => Value::Array(vec![inner]),
    })
}

fn path(way: &[Step]) -> String {
    let mut path = String::new();
    for step in way {
        // Writing to a String does not fail.
        let _ = match step {
            Step::Field(name) if path.is_empty() => write!(path, "{name}"),
            Step::Field(name) => write!(path, ".{name}"),
            Step::Item(index) => write!(path, "[{index}]"),
        };
    }
    match path.is_empty() {
        true => ".".to_owned(),
        false => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_piece_that_cannot_be_read_is_named() {
        for (config, expected) in [
            (
                json!({"rcpt": {"max_total": "5"}}),
                "rcpt.max_total: invalid type",
            ),
            (json!({"rcpt": 5}), "rcpt: invalid type"),
            (json!({"rcpts": {}}), "rcpts: unknown field"),
            (json!({"rcpt": {"x": {"y": 1}}}), "rcpt.x: unknown field"),
            (
                json!({"exempt": {"networks": ["a", "b", 3]}}),
                "exempt.networks[2]: invalid type",
            ),
            (
                json!({"dnsbl": {"ttl": {"min_s": -1}}}),
                "dnsbl.ttl.min_s: invalid value",
            ),
            // Of several the first, each with its own words.
            (
                json!({"mode": 1, "close": {"linger_ms": null}}),
                "close.linger_ms: invalid type: null",
            ),
        ] {
            let error = read(config.clone()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{config}: {error}");
        }
    }
}
