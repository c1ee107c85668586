//! One JSON object, written into one text.

use crate::policy::Counts;
use itoa::{Buffer, Integer};
use serde::Serialize;

/// What a record mostly takes.
const USUAL: usize = 640;

/// How a field begins, with a comma before it. Names have nothing in them to be escaped.
macro_rules! field {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}
pub(super) use field;

/// An object under way.
#[derive(Debug)]
pub(super) struct Object(String);

impl Object {
    pub(super) fn new() -> Self {
        let mut text = String::with_capacity(USUAL);
        text.push('{');
        Self(text)
    }

    fn begin(&mut self, field: &str) {
        // The first has no comma before it.
        let comma = usize::from(self.0.len() == 1);
        self.0.push_str(field.get(comma..).unwrap_or_default());
    }

    /// In quotes what has nothing in it to be escaped.
    fn quoted(&mut self, word: &str) {
        for part in ["\"", word, "\""] {
            self.0.push_str(part);
        }
    }

    /// A field that is JSON already.
    pub(super) fn plain(&mut self, field: &str, json: &str) {
        self.begin(field);
        self.0.push_str(json);
    }

    /// A field of any kind.
    pub(super) fn value(&mut self, field: &str, value: Option<&impl Serialize>) {
        let json = value.and_then(|value| serde_json::to_string(value).ok());
        self.plain(field, json.as_deref().unwrap_or("null"));
    }

    /// A name or an address, in which nothing has to be escaped.
    pub(super) fn word(&mut self, field: &str, word: Option<impl AsRef<str>>) {
        self.begin(field);
        match word {
            Some(word) => self.quoted(word.as_ref()),
            None => self.0.push_str("null"),
        }
    }

    /// A list of such names.
    pub(super) fn words(&mut self, field: &str, words: impl Iterator<Item = &'static str>) {
        self.plain(field, "[");
        for (index, word) in words.enumerate() {
            if index > 0 {
                self.0.push(',');
            }
            self.quoted(word);
        }
        self.0.push(']');
    }

    pub(super) fn number(&mut self, field: &str, number: impl Integer) {
        self.plain(field, Buffer::new().format(number));
    }

    pub(super) fn counts(&mut self, counts: &Counts) {
        for (field, count) in [
            (field!("tried"), counts.tried),
            (field!("accepted"), counts.accepted),
            (field!("rejected"), counts.rejected),
            (field!("consecutive"), counts.consecutive),
            (field!("wasted"), counts.wasted),
            (field!("answered"), counts.answered),
            (field!("messages"), counts.messages),
        ] {
            self.number(field, count);
        }
    }

    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}
