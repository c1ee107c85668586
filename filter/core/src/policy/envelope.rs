//! The configuration as the host hands it over.
//!
//! Envoy unwraps a `google.protobuf.StringValue`, here JSON, but hands over a
//! `google.protobuf.Struct`, which reads better in YAML, as its protobuf encoding (seen with 1.40).

use super::value::{Fields, Value};
use prost::Message;
use serde_json::Number;

/// The first octet of every encoded `Struct` but the empty one: field 1, length-delimited. It is
/// also a line feed, with which JSON may begin.
const STRUCT_TAG: u8 = 0x0a;

/// `google.protobuf.Struct` (`struct.proto`). On the wire a map is a list of entries, and so it is
/// here: the trees that `prost_types` makes of them would be another hundredth of the filter.
#[derive(Clone, PartialEq, Message)]
struct Struct {
    #[prost(message, repeated, tag = "1")]
    fields: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Dynamic>,
}

/// `google.protobuf.Value`.
#[derive(Clone, PartialEq, Message)]
struct Dynamic {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(int32, tag = "1")]
    Null(i32),
    #[prost(double, tag = "2")]
    Number(f64),
    #[prost(string, tag = "3")]
    Text(String),
    #[prost(bool, tag = "4")]
    Bool(bool),
    #[prost(message, tag = "5")]
    Object(Struct),
    #[prost(message, tag = "6")]
    List(List),
}

/// `google.protobuf.ListValue`.
#[derive(Clone, PartialEq, Message)]
struct List {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Dynamic>,
}

/// Reads JSON or an encoded `Struct`, with fields in the order of their names; nothing at all is an
/// empty object.
///
/// # Errors
/// What is wrong with it as JSON, where it is neither.
pub(super) fn open(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    if bytes.trim_ascii().is_empty() {
        return Ok(Value::Object(Fields::new()));
    }
    let json = serde_json::from_slice(bytes);
    let read: Result<Value, _> = json.or_else(|error| {
        let encoded = bytes.first() == Some(&STRUCT_TAG);
        let decoded = encoded.then(|| Struct::decode(bytes).ok());
        decoded.flatten().map(object).ok_or(error)
    });
    Ok(read?.in_order())
}

fn object(of: Struct) -> Value {
    let fields = of.fields.into_iter();
    let fields = fields.map(|field| (field.key, value(field.value.unwrap_or_default())));
    Value::Object(fields.collect())
}

fn value(of: Dynamic) -> Value {
    match of.kind {
        None | Some(Kind::Null(_)) => Value::Null,
        Some(Kind::Bool(truth)) => Value::Bool(truth),
        Some(Kind::Number(number)) => self::number(number),
        Some(Kind::Text(text)) => Value::Text(text),
        Some(Kind::List(list)) => Value::List(list.values.into_iter().map(value).collect()),
        Some(Kind::Object(of)) => object(of),
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
    use prost_types::value::Kind;
    use serde_json::{Map, Value, json};
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

    /// What was read, as JSON.
    fn read(bytes: &[u8]) -> String {
        serde_json::to_string(&open(bytes).unwrap()).unwrap()
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
        assert_eq!(read(&bytes), config.to_string());
        assert_eq!(read(config.to_string().as_bytes()), config.to_string());
    }

    #[test]
    fn fields_are_in_order_and_the_last_of_one_name_holds() {
        assert_eq!(
            read(br#"{"b": 1, "a": [{"d": {}, "c": -1}], "b": 2}"#),
            r#"{"a":[{"c":-1,"d":{}}],"b":2}"#
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
        assert_eq!(read(b"\n {} "), "{}");
        assert_eq!(read(b""), "{}");
    }
}
