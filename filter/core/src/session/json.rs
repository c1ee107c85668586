//! One JSON object, written into one text.

use itoa::{Buffer, Integer};
use serde::Serialize;

/// What a record mostly takes.
const USUAL: usize = 640;

/// An object under way.
#[derive(Debug)]
pub(super) struct Object(String);

impl Object {
    pub(super) fn new() -> Self {
        let mut text = String::with_capacity(USUAL);
        text.push('{');
        Self(text)
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.quoted(name);
        self.0.push(':');
    }

    /// In quotes what has nothing in it to be escaped.
    fn quoted(&mut self, word: &str) {
        self.0.push('"');
        self.0.push_str(word);
        self.0.push('"');
    }

    /// A field that is JSON already.
    pub(super) fn plain(&mut self, name: &str, json: &str) {
        self.name(name);
        self.0.push_str(json);
    }

    /// A field of any kind.
    pub(super) fn value(&mut self, name: &str, value: Option<&impl Serialize>) {
        let json = value.and_then(|value| serde_json::to_string(value).ok());
        self.plain(name, json.as_deref().unwrap_or("null"));
    }

    /// A name or an address, in which nothing has to be escaped.
    pub(super) fn word(&mut self, name: &str, word: Option<impl AsRef<str>>) {
        self.name(name);
        match word {
            Some(word) => self.quoted(word.as_ref()),
            None => self.0.push_str("null"),
        }
    }

    /// A list of such names.
    pub(super) fn words(&mut self, name: &str, words: impl Iterator<Item = &'static str>) {
        self.name(name);
        self.0.push('[');
        for (index, word) in words.enumerate() {
            if index > 0 {
                self.0.push(',');
            }
            self.quoted(word);
        }
        self.0.push(']');
    }

    pub(super) fn number(&mut self, name: &str, number: impl Integer) {
        self.plain(name, Buffer::new().format(number));
    }

    pub(super) fn numbers(&mut self, numbers: &[(&str, u32)]) {
        for (name, number) in numbers {
            self.number(name, *number);
        }
    }

    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}
