//! The configuration as the host hands it over.
//!
//! Envoy unwraps a `google.protobuf.StringValue`, here JSON, but hands over a
//! `google.protobuf.Struct`, which reads better in YAML, as its protobuf encoding (seen with 1.40).

use prost::Message;
use prost_types::value::Kind;
use serde_json::{Map, Number, Value};

/// The first octet of every encoded `Struct` but the empty one: field 1, length-delimited. It is
/// also a line feed, with which JSON may begin.
const STRUCT_TAG: u8 = 0x0a;

/// Reads JSON or an encoded `Struct`; nothing at all is an empty object.
///
/// # Errors
/// What is wrong with it as JSON, where it is neither.
pub(super) fn open(bytes: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    if bytes.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    let json = serde_json::from_slice(bytes);
    json.or_else(|error| {
        let encoded = bytes.first() == Some(&STRUCT_TAG);
        let decoded = encoded.then(|| prost_types::Struct::decode(bytes).ok());
        decoded.flatten().map(fields).ok_or(error)
    })
}

fn fields(of: prost_types::Struct) -> Map<String, Value> {
    // One by one: to collect them would take a sort along, which the filter is too small for.
    let mut object = Map::new();
    for (name, field) in of.fields {
        object.insert(name, value(field));
    }
    object
}

fn value(of: prost_types::Value) -> Value {
    match of.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(truth)) => Value::Bool(truth),
        Some(Kind::NumberValue(number)) => self::number(number),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::ListValue(list)) => Value::Array(list.values.into_iter().map(value).collect()),
        Some(Kind::StructValue(of)) => Value::Object(fields(of)),
    }
}

/// A `Struct` knows only doubles; whole ones are meant as integers.
fn number(double: f64) -> Value {
    // 2^53: every whole number below it has a double of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[allow(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
    let number = if double.fract() == 0.0 && double.abs() < EXACT {
        Some(Number::from(double as i64))
    } else {
        Number::from_f64(double)
    };
    number.map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// `value` as Envoy would encode it in a Struct.
    fn encode(value: &Value) -> prost_types::Value {
        let kind = match value {
            Value::Null => Kind::NullValue(0),
            Value::Bool(truth) => Kind::BoolValue(*truth),
            Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
            Value::String(text) => Kind::StringValue(text.clone()),
            Value::Array(list) => Kind::ListValue(prost_types::ListValue {
                values: list.iter().map(encode).collect(),
            }),
            Value::Object(fields) => Kind::StructValue(fields_of(fields)),
        };
        prost_types::Value { kind: Some(kind) }
    }

    fn fields_of(fields: &Map<String, Value>) -> prost_types::Struct {
        let fields = fields.iter();
        prost_types::Struct {
            fields: fields.map(|(name, v)| (name.clone(), encode(v))).collect(),
        }
    }

    #[test]
    fn a_struct_says_the_same_as_its_json() {
        let config = json!({
            "mode": "observe",
            "rcpt": {"max_consecutive": 5, "max_total": null, "rejected_text": ["a", "b"]},
            "exempt": {"authenticated": false},
            "ratio": 0.5,
        });
        let bytes = fields_of(config.as_object().unwrap()).encode_to_vec();
        assert_eq!(bytes.first(), Some(&STRUCT_TAG));
        assert_eq!(Value::Object(open(&bytes).unwrap()), config);
        assert_eq!(
            Value::Object(open(config.to_string().as_bytes()).unwrap()),
            config
        );
    }

    #[test]
    fn neither_is_an_error_of_the_json_reader() {
        assert!(
            open(b"\n{\"mode\":")
                .unwrap_err()
                .to_string()
                .contains("EOF")
        );
        assert!(open(b"\x0a\xff\xff").is_err());
        assert!(open(b"no").is_err());
        assert!(open(b"\n {} ").unwrap().is_empty());
        assert!(open(b"").unwrap().is_empty());
    }
}
