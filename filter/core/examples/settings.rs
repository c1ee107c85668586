//! Prints the reference of all settings, in Markdown (`make schema`): each field of the policy's
//! types with its type, range, default and documentation, and a link to its worked example in `docs`.
//!
//! Arguments: the directory `docs`.

use std::{collections::BTreeMap, env, error::Error, fmt::Write as _, fs, path::Path};

use portcullis_core::policy::Config;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

const HEAD: &str = "\
# Settings

<!-- Made by `make schema` from the types in filter/core/src/policy/config. Do not edit. -->

Every field of the policy, in the order of its parts; each name leads to an example. All have a
default, so `{}` is a policy. What is not a field here is refused when the policy is loaded, with the
name, the value and the mend. The same as JSON Schema: [policy.schema.json](../envoy/policy.schema.json).

";

fn main() -> Result<(), Box<dyn Error>> {
    let docs = env::args().nth(1).ok_or("which directory is docs?")?;
    let reference = Reference {
        schema: serde_json::to_value(schemars::schema_for!(Config))?,
        examples: examples(Path::new(&docs))?,
    };
    // The types say in which order; a JSON value would sort the names.
    let order: Order = serde_json::from_str(&serde_json::to_string(&Config::default())?)?;
    print!("{HEAD}{}", reference.parts(&order)?);
    Ok(())
}

/// The names of fields, in the order of the types; empty for what has none.
#[derive(Default)]
struct Order(Vec<(String, Order)>);

impl<'de> Deserialize<'de> for Order {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Names)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Order;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a policy")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Order, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Order(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Order, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Order::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Order, E> {
        Ok(Order::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Order, E> {
        Ok(Order::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Order, E> {
        Ok(Order::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Order, E> {
        Ok(Order::default())
    }

    fn visit_unit<E>(self) -> Result<Order, E> {
        Ok(Order::default())
    }
}

/// Where the worked examples are: the file with its heading, by the settings that a heading names.
fn examples(docs: &Path) -> Result<BTreeMap<String, String>, Box<dyn Error>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(docs)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.extension().is_none_or(|kind| kind != "md") || name == "settings.md" {
            continue;
        }
        for line in fs::read_to_string(&path)?.lines() {
            let Some(heading) = line.strip_prefix("### `") else {
                continue;
            };
            let link = format!("{name}#{}", anchor(heading));
            for setting in heading
                .split('`')
                .step_by(2)
                .filter(|name| !name.is_empty())
            {
                if let Some(other) = found.insert(setting.to_owned(), link.clone()) {
                    return Err(format!("{setting} has two examples: {other}, {link}").into());
                }
            }
        }
    }
    Ok(found)
}

/// As Git forges make it.
fn anchor(heading: &str) -> String {
    let lower = heading.to_lowercase();
    let kept = lower.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        letter if letter.is_alphanumeric() || matches!(letter, '-' | '_') => Some(letter),
        _ => None,
    });
    kept.collect()
}

struct Reference {
    schema: Value,
    examples: BTreeMap<String, String>,
}

impl Reference {
    fn parts(&self, order: &Order) -> Result<String, Box<dyn Error>> {
        let mut text = String::new();
        let mut plain: Vec<(String, &Value)> = Vec::new();
        for (name, fields) in &order.0 {
            let shape = at(&self.schema, &format!("/properties/{name}"))?;
            if fields.0.is_empty() {
                plain.push((name.clone(), shape));
                continue;
            }
            self.plain(&mut text, &mut plain)?;
            self.part(&mut text, name, shape, fields, "##")?;
        }
        self.plain(&mut text, &mut plain)?;
        Ok(text.trim_end().to_owned() + "\n")
    }

    /// Settings that are no part of anything and follow each other.
    fn plain(
        &self,
        text: &mut String,
        fields: &mut Vec<(String, &Value)>,
    ) -> Result<(), Box<dyn Error>> {
        if fields.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = fields.iter().map(|(name, _)| format!("`{name}`")).collect();
        write!(text, "## {}\n\n", names.join(", "))?;
        self.table(text, fields)?;
        fields.clear();
        Ok(())
    }

    /// A part, and then the parts in it.
    fn part(
        &self,
        text: &mut String,
        path: &str,
        shape: &Value,
        fields: &Order,
        level: &str,
    ) -> Result<(), Box<dyn Error>> {
        let (part, about) = (self.resolved(shape)?, described(shape));
        let defined = described(part);
        let about = if about.contains(&defined) {
            about
        } else {
            defined
        };
        write!(text, "{level} `{path}`\n\n{about}\n\n")?;
        let mut rows = Vec::new();
        let mut inner = Vec::new();
        for (name, below) in &fields.0 {
            let shape = at(part, &format!("/properties/{name}"))?;
            let path = format!("{path}.{name}");
            // A map from names to texts is empty, too, but has no fields of its own.
            match below.0.is_empty() {
                true => rows.push((path, shape)),
                false => inner.push((path, shape, below)),
            }
        }
        self.table(text, &rows)?;
        for (path, shape, below) in inner {
            self.part(text, &path, shape, below, "###")?;
        }
        Ok(())
    }

    fn table(&self, text: &mut String, rows: &[(String, &Value)]) -> Result<(), Box<dyn Error>> {
        text.push_str("| setting | type | range | default | what it does |\n");
        text.push_str("| --- | --- | --- | --- | --- |\n");
        for (path, shape) in rows {
            let resolved = self.resolved(shape)?;
            let cells = [
                format!("[`{path}`]({})", self.example(path)?),
                kind(resolved).to_owned(),
                range(resolved),
                default(shape)?,
                format!("{}{}", described(shape), words(resolved)),
            ];
            let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
            writeln!(text, "| {} |", cells.join(" | "))?;
        }
        text.push('\n');
        Ok(())
    }

    /// The example of a setting, or of what it is a part of.
    fn example(&self, path: &str) -> Result<&str, Box<dyn Error>> {
        let mut name = path;
        loop {
            if let Some(link) = self.examples.get(name) {
                return Ok(link);
            }
            name = match name.rsplit_once('.') {
                Some((part, _)) => part,
                None => return Err(format!("no heading in docs names an example of {path}").into()),
            };
        }
    }

    /// What a reference leads to.
    fn resolved<'a>(&'a self, shape: &'a Value) -> Result<&'a Value, Box<dyn Error>> {
        match shape.get("$ref").and_then(Value::as_str) {
            Some(reference) => at(&self.schema, reference.trim_start_matches('#')),
            None => Ok(shape),
        }
    }
}

fn at<'a>(value: &'a Value, pointer: &str) -> Result<&'a Value, Box<dyn Error>> {
    let found = value.pointer(pointer);
    found.ok_or_else(|| format!("the schema has nothing at {pointer}").into())
}

fn described(shape: &Value) -> String {
    let text = shape.get("description").and_then(Value::as_str);
    text.unwrap_or_default().replace('\n', " ")
}

fn may_be_null(shape: &Value) -> bool {
    let types = shape.get("type").and_then(Value::as_array);
    types.is_some_and(|types| types.iter().any(|one| one == "null"))
}

fn kind(shape: &Value) -> &'static str {
    let named = match shape.get("type") {
        Some(Value::Array(types)) => types.first().and_then(Value::as_str),
        Some(one) => one.as_str(),
        None => None,
    };
    match named {
        Some("integer") => "number",
        Some("boolean") => "truth value",
        Some("string") => "text",
        Some("array") => "list of texts",
        Some("object") => "texts by name",
        _ => "word",
    }
}

fn range(shape: &Value) -> String {
    let bound = |name| shape.get(name).and_then(Value::as_i64);
    let numbers = match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => format!("{} to {}", grouped(least), grouped(most)),
        _ => choices(shape)
            .map(|(word, _)| format!("`\"{word}\"`"))
            .collect::<Vec<_>>()
            .join(", "),
    };
    match (numbers.is_empty(), may_be_null(shape)) {
        (true, true) => "or `null`".to_owned(),
        (false, true) => format!("{numbers}, or `null`"),
        (_, false) => numbers,
    }
}

/// The words of a choice, each with what it means.
fn choices(shape: &Value) -> impl Iterator<Item = (&str, String)> {
    let words = shape.get("oneOf").and_then(Value::as_array);
    words.into_iter().flatten().filter_map(|word| {
        let name = word.get("const").and_then(Value::as_str)?;
        Some((name, described(word)))
    })
}

fn words(shape: &Value) -> String {
    choices(shape).fold(String::new(), |mut text, (word, means)| {
        // Writing to a String cannot fail.
        let _ = write!(text, "<br>`\"{word}\"`: {means}");
        text
    })
}

fn default(shape: &Value) -> Result<String, Box<dyn Error>> {
    let value = shape.get("default").ok_or("a field without a default")?;
    Ok(match value {
        Value::Number(number) => number.as_i64().map_or_else(String::new, grouped),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Object(fields) if fields.is_empty() => "none".to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| format!("`{item}`")).collect();
            items.join(", ")
        }
        other => format!("`{other}`"),
    })
}

fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && digits.len() > 4 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
