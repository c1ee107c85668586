//! The metrics as Prometheus reads them: what a page exports, what the reference says, and what an
//! expression asks for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use crate::{Error, paths};

/// Families of metrics by name: the kind of each and the labels of its members.
pub type Families = BTreeMap<String, (String, BTreeSet<String>)>;

/// One line of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// What `docs/metrics.md` says there is.
///
/// # Errors
/// [`Error::File`] if it cannot be read.
pub fn reference() -> Result<Families, Error> {
    let path = paths::repository().join("docs/metrics.md");
    let page = fs::read_to_string(&path).map_err(Error::file(path))?;
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `portcullis_")?.split('|');
        let name = cells.next()?.trim().trim_end_matches('`');
        let (name, label) = name.split_once('{').unwrap_or((name, ""));
        let labels = label.trim_end_matches('}').split(',');
        let labels = labels.filter(|label| !label.is_empty()).map(str::to_owned);
        let kind = cells.next()?.trim().to_owned();
        Some((format!("portcullis_{name}"), (kind, labels.collect())))
    });
    Ok(rows.collect())
}

/// The samples of a page, in Prometheus' text format as Envoy writes it.
#[must_use]
pub fn samples(page: &str) -> Vec<Sample> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(sample).collect()
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels = labels.trim_end_matches('}').split(',').filter_map(|label| {
        let (name, value) = label.split_once('=')?;
        Some((name.to_owned(), value.trim_matches('"').to_owned()))
    });
    Some(Sample {
        name: name.to_owned(),
        labels: labels.collect(),
        value: value.parse().ok()?,
    })
}

/// The families of a page whose names begin so. A histogram's own label, `le`, is none of them.
#[must_use]
pub fn families(page: &str, prefix: &str) -> Families {
    let types = page.lines().filter_map(|line| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        let family = (name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        name.starts_with(prefix).then_some(family)
    });
    let mut families: Families = types.collect();
    for Sample { name, labels, .. } in samples(page) {
        let family = family_of(&name, &families).to_owned();
        if let Some((_, known)) = families.get_mut(&family) {
            known.extend(labels.into_keys().filter(|label| label != "le"));
        }
    }
    families
}

/// The family that a metric of this name is of: a histogram has three.
#[must_use]
pub fn family_of<'a>(name: &'a str, families: &Families) -> &'a str {
    let mut parts = ["_bucket", "_sum", "_count"].iter();
    let base = parts.find_map(|part| name.strip_suffix(part));
    base.filter(|base| families.contains_key(*base))
        .unwrap_or(name)
}

/// A metric that an expression asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// Its name.
    pub name: String,
    /// The labels that are looked at, and the values they are compared with.
    pub labels: Vec<(String, String)>,
}

/// What an expression of Prometheus' query language mentions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mentions {
    /// The metrics.
    pub selectors: Vec<Selector>,
    /// The labels by which is grouped or joined.
    pub grouped: Vec<String>,
}

/// What an expression mentions, of metrics that are the guard's, Envoy's, or recorded by a rule.
#[must_use]
pub fn mentions(expression: &str) -> Mentions {
    let mut found = Mentions::default();
    let mut rest = expression;
    while let Some(letter) = rest.chars().next() {
        if letter == '"' {
            rest = after_string(rest).1;
        } else if starts_name(letter) {
            let (name, behind) = split_name(rest);
            rest = behind.trim_start();
            let known = ["portcullis_", "envoy_"];
            if name.contains(':') || known.iter().any(|prefix| name.starts_with(prefix)) {
                let (labels, behind) = matchers(rest);
                rest = behind;
                let name = name.to_owned();
                found.selectors.push(Selector { name, labels });
            } else if ["by", "on", "without", "ignoring"].contains(&name)
                && let Some((list, behind)) = rest.strip_prefix('(').and_then(|r| r.split_once(')'))
            {
                rest = behind;
                let labels = list.split(',').map(|label| label.trim().to_owned());
                found.grouped.extend(labels);
            }
        } else {
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
        }
    }
    found
}

fn starts_name(letter: char) -> bool {
    letter.is_ascii_alphabetic() || letter == '_' || letter == ':'
}

fn split_name(text: &str) -> (&str, &str) {
    let part = |letter: char| starts_name(letter) || letter.is_ascii_digit();
    let end = text.find(|letter| !part(letter)).unwrap_or(text.len());
    text.split_at(end)
}

/// A string at the beginning of a text, and what is behind it.
fn after_string(text: &str) -> (&str, &str) {
    let inner = text.get(1..).unwrap_or_default();
    let mut escaped = false;
    let end = inner.find(|letter| {
        let ends = letter == '"' && !escaped;
        escaped = letter == '\\' && !escaped;
        ends
    });
    let (string, rest) = inner.split_at(end.unwrap_or(inner.len()));
    (string, rest.get(1..).unwrap_or_default())
}

/// The matchers behind a metric's name, and what is behind them.
fn matchers(text: &str) -> (Vec<(String, String)>, &str) {
    let mut labels = Vec::new();
    let Some(mut rest) = text.strip_prefix('{') else {
        return (labels, text);
    };
    loop {
        rest = rest.trim_start_matches([' ', ',', '\n']);
        let (label, behind) = split_name(rest);
        let operator = behind.find('"').unwrap_or(behind.len());
        if label.is_empty() || behind.is_empty() {
            return (labels, rest.strip_prefix('}').unwrap_or(rest));
        }
        let (value, behind) = after_string(behind.get(operator..).unwrap_or_default());
        labels.push((label.to_owned(), value.to_owned()));
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(name: &str, labels: &[(&str, &str)]) -> Selector {
        let owned = |(label, value): &(&str, &str)| ((*label).to_owned(), (*value).to_owned());
        Selector {
            name: name.to_owned(),
            labels: labels.iter().map(owned).collect(),
        }
    }

    #[test]
    fn metrics_and_labels_are_found_in_an_expression() {
        let found = mentions(
            r#"sum by (job, rule) (rate(portcullis_closed_total{rule!="a}\"b", job=~"x.*"}[5m]))
            / on (job) job:portcullis_x:rate5m > 0 and up unless envoy_server_live offset 1d"#,
        );
        assert_eq!(
            found.selectors,
            [
                selector(
                    "portcullis_closed_total",
                    &[("rule", r#"a}\"b"#), ("job", "x.*")]
                ),
                selector("job:portcullis_x:rate5m", &[]),
                selector("envoy_server_live", &[]),
            ]
        );
        assert_eq!(found.grouped, ["job", "rule", "job"]);
    }

    #[test]
    fn words_in_strings_are_no_metrics() {
        let found = mentions(r#"label_replace(vector(1), "portcullis_x", "envoy_y", "", "")"#);
        assert_eq!(found, Mentions::default());
    }

    #[test]
    fn families_have_the_labels_of_their_samples() {
        let page = "# TYPE portcullis_a_ms histogram\n\
            portcullis_a_ms_bucket{site=\"x\",le=\"1\"} 1\n\
            portcullis_a_ms_sum{site=\"x\"} 1\n\
            # TYPE portcullis_b_total counter\nportcullis_b_total{} 7\n\
            # TYPE envoy_c counter\nenvoy_c{cluster=\"m\"} 1\n";
        let family = |kind: &str, labels: &[&str]| {
            let labels = labels.iter().map(|label| (*label).to_owned());
            (kind.to_owned(), labels.collect::<BTreeSet<_>>())
        };
        let expected = Families::from([
            ("portcullis_a_ms".to_owned(), family("histogram", &["site"])),
            ("portcullis_b_total".to_owned(), family("counter", &[])),
        ]);
        assert_eq!(families(page, "portcullis_"), expected);
        assert_eq!(samples(page).last().map(|last| last.value), Some(1.0));
    }
}
