//! The text format of Prometheus, as far as Envoy writes it.

use std::borrow::Cow;

/// One line with a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample<'a> {
    /// The metric.
    pub(super) name: &'a str,
    labels: Vec<(&'a str, Cow<'a, str>)>,
    /// Its value.
    pub(super) value: f64,
}

impl Sample<'_> {
    /// What a label says.
    pub(super) fn label(&self, wanted: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| value.as_ref())
    }
}

/// The samples of a text; comments, and lines that are none, are left out.
pub(super) fn samples(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter_map(sample)
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' ', '\t'])?;
    let (name, rest) = line.split_at(end);
    if name.is_empty() || name.starts_with('#') {
        return None;
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (Vec::new(), rest),
    };
    // A time may follow the value.
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name,
        labels,
        value,
    })
}

type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// What stands between the braces, and the rest of the line.
fn labels(mut rest: &str) -> Option<(Labels<'_>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let end = closing_quote(quoted)?;
        let (value, behind) = quoted.split_at(end);
        labels.push((name.trim_end(), unescaped(value)));
        rest = behind.strip_prefix('"')?;
    }
}

/// Where the quote is that no backslash stands before.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|octet| {
        let closes = octet == b'"' && !escaped;
        escaped = octet == b'\\' && !escaped;
        closes
    })
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, letter == '\\') {
            (_, true) => match letters.next() {
                Some('n') => plain.push('\n'),
                Some(other) => plain.push(other),
                None => {}
            },
            (letter, false) => plain.push(letter),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_shape_are_read() {
        let text = r#"
# TYPE portcullis_closed_total counter
portcullis_sessions_open{} 3
portcullis_closed_total{rule="rcpt.max_consecutive"} 17
plain 2
timed{a="b",c="d",} 1.5 1795320000000
escaped{site="a\"b\\c\nd"} +Inf
"#;
        let read: Vec<Sample> = samples(text).collect();
        let names: Vec<&str> = read.iter().map(|sample| sample.name).collect();
        assert_eq!(
            names,
            [
                "portcullis_sessions_open",
                "portcullis_closed_total",
                "plain",
                "timed",
                "escaped"
            ]
        );
        assert_eq!(read[1].label("rule"), Some("rcpt.max_consecutive"));
        assert_eq!(read[1].label("site"), None);
        assert_eq!(read[3].label("c"), Some("d"));
        assert_eq!(read[4].label("site"), Some("a\"b\\c\nd"));
        let values: Vec<f64> = read.iter().map(|sample| sample.value).collect();
        assert_eq!(values, [3.0, 17.0, 2.0, 1.5, f64::INFINITY]);
    }

    #[test]
    fn what_is_no_sample_is_left_out() {
        for line in [
            "",
            "#",
            "name",
            "name{",
            "name{a",
            "name{a=\"b",
            "name{a=\"b\\\"} 1",
            "name{a=\"b\"x} 1",
            "name{} x",
            "<html> 1x",
        ] {
            assert_eq!(sample(line), None, "{line}");
        }
    }
}
