//! Reading a configuration: whatever cannot be read is told of with its path.

use super::Config;
use crate::policy::error::ConfigError;
use crate::policy::value::Value;

/// A value and where it stands.
pub(super) struct Piece<'a> {
    value: Value,
    path: String,
    faults: &'a mut Vec<ConfigError>,
}

/// What can be read in place of what it is.
pub(super) trait Read {
    fn read(&mut self, piece: Piece<'_>);
}

/// A field's name and what it holds.
pub(super) type Field<'a> = (&'static str, &'a mut dyn Read);

/// What is read field by field.
pub(super) trait Section {
    fn fields(&mut self) -> Vec<Field<'_>>;
}

/// Reads a configuration; what is wrong with it is added to `faults`.
pub(in crate::policy) fn read(value: Value, faults: &mut Vec<ConfigError>) -> Config {
    let mut config = Config::default();
    config.read(Piece {
        value,
        path: String::new(),
        faults,
    });
    config
}

impl Piece<'_> {
    fn fault(self, expected: &str) {
        let got = match self.value {
            Value::List(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
            plain => serde_json::to_string(&plain).unwrap_or_default(),
        };
        let path = match self.path.as_str() {
            "" => ".",
            path => path,
        };
        let error = ConfigError::new(path, expected, got);
        self.faults.push(error);
    }

    /// Each field, if it is an object.
    fn each_field(self, mut each: impl FnMut(&str, Piece<'_>)) {
        let Value::Object(fields) = self.value else {
            return self.fault("an object");
        };
        for (name, value) in fields {
            let dot = if self.path.is_empty() { "" } else { "." };
            let path = [&self.path, dot, &name].concat();
            let faults = &mut *self.faults;
            each(
                &name,
                Piece {
                    value,
                    path,
                    faults,
                },
            );
        }
    }

    fn number(self, min: i64, max: i64) -> Option<i64> {
        let number = match &self.value {
            Value::Number(number) => number.as_i64(),
            _ => None,
        };
        let number = number.filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.fault(&format!("a whole number from {min} to {max}"));
        }
        number
    }

    fn text(self) -> Option<String> {
        match self.value {
            Value::Text(text) => Some(text),
            _ => {
                self.fault("a text in quotes");
                None
            }
        }
    }
}

/// Reads what has fields.
pub(super) fn section(section: &mut dyn Section, piece: Piece<'_>) {
    let mut known = section.fields();
    piece.each_field(
        |name, inside| match known.iter_mut().find(|(field, _)| *field == name) {
            Some((_, field)) => field.read(inside),
            None => {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                let expected = ["one of the fields ", &names.join(", ")].concat();
                let error = ConfigError::new(&inside.path, &expected, "another");
                inside.faults.push(error);
            }
        },
    );
}

/// Reads one of several words: its index.
pub(super) fn choice(words: &[&str], piece: Piece<'_>) -> Option<usize> {
    let found = match &piece.value {
        Value::Text(word) => words.iter().position(|known| known == word),
        _ => None,
    };
    if found.is_none() {
        piece.fault(&["\"", &words.join("\" or \""), "\""].concat());
    }
    found
}

macro_rules! numbers {
    ($($type:ty),*) => { $(
        impl Read for $type {
            fn read(&mut self, piece: Piece<'_>) {
                let number = piece.number(<$type>::MIN.into(), <$type>::MAX.into());
                if let Some(number) = number.and_then(|number| number.try_into().ok()) {
                    *self = number;
                }
            }
        }
    )* };
}

numbers!(u8, u32, i32);

impl Read for bool {
    fn read(&mut self, piece: Piece<'_>) {
        match piece.value {
            Value::Bool(truth) => *self = truth,
            _ => piece.fault("true or false"),
        }
    }
}

impl Read for String {
    fn read(&mut self, piece: Piece<'_>) {
        if let Some(text) = piece.text() {
            *self = text;
        }
    }
}

impl Read for Vec<String> {
    fn read(&mut self, piece: Piece<'_>) {
        let Value::List(items) = piece.value else {
            return piece.fault("a list");
        };
        self.clear();
        for (index, value) in items.into_iter().enumerate() {
            let item = Piece {
                value,
                path: format!("{}[{index}]", piece.path),
                faults: piece.faults,
            };
            self.extend(item.text());
        }
    }
}

impl Read for Vec<(String, String)> {
    fn read(&mut self, piece: Piece<'_>) {
        self.clear();
        piece.each_field(|name, inside| {
            let text = inside.text();
            self.extend(text.map(|text| (name.to_owned(), text)));
        });
    }
}

impl<T: Read + Default> Read for Option<T> {
    fn read(&mut self, piece: Piece<'_>) {
        match piece.value {
            Value::Null => *self = None,
            _ => self.insert(T::default()).read(piece),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn faults(value: &serde_json::Value) -> Vec<String> {
        let value = serde_json::from_str(&value.to_string()).unwrap();
        let mut faults = Vec::new();
        let _ = read(value, &mut faults);
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn whatever_cannot_be_read_is_named() {
        let number = "a whole number from 0 to 4294967295";
        for (config, expected) in [
            (
                json!({"rcpt": {"max_total": "5"}}),
                vec![format!("rcpt.max_total: expected {number}, got \"5\"")],
            ),
            (
                json!({"rcpt": {"max_total": 5.5}}),
                vec![format!("rcpt.max_total: expected {number}, got 5.5")],
            ),
            (
                json!([5]),
                vec![".: expected an object, got a list".to_owned()],
            ),
            (
                json!({"rcpt": 5}),
                vec!["rcpt: expected an object, got 5".to_owned()],
            ),
            (
                json!({"reset": {"x": {"y": 1}}}),
                vec!["reset.x: expected one of the fields mode, max_wasted, min_rejected, got another"
                    .to_owned()],
            ),
            (
                json!({"exempt": {"networks": ["a", 3, {}]}}),
                vec![
                    "exempt.networks[1]: expected a text in quotes, got 3".to_owned(),
                    "exempt.networks[2]: expected a text in quotes, got an object".to_owned(),
                ],
            ),
            (
                json!({"exempt": {"networks": "a", "authenticated": 1}}),
                vec![
                    "exempt.authenticated: expected true or false, got 1".to_owned(),
                    "exempt.networks: expected a list, got \"a\"".to_owned(),
                ],
            ),
            (
                json!({"mode": "Observe", "close": {"linger_ms": null}, "client": {"ipv4_prefix": 256}}),
                vec![
                    "client.ipv4_prefix: expected a whole number from 0 to 255, got 256".to_owned(),
                    format!("close.linger_ms: expected {number}, got null"),
                    "mode: expected \"enforce\" or \"observe\", got \"Observe\"".to_owned(),
                ],
            ),
            (
                json!({"dnsbl": {"ttl": {"min_s": -1}, "replies": {"a.test": []}}}),
                vec![
                    "dnsbl.replies.a.test: expected a text in quotes, got a list".to_owned(),
                    format!("dnsbl.ttl.min_s: expected {number}, got -1"),
                ],
            ),
        ] {
            assert_eq!(faults(&config), expected, "{config}");
        }
    }
}
