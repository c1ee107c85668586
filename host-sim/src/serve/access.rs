//! The line a finished session leaves on stderr.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::observe::Summary;

/// One JSON object; a property that is JSON itself is put in as such.
pub(super) fn line(summary: &Summary, lasted: Duration) -> String {
    let properties: Map<String, Value> = summary
        .properties
        .iter()
        .map(|(name, value)| {
            let value = serde_json::from_slice(value)
                .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(value)));
            (name.clone(), value)
        })
        .collect();
    json!({
        "client": summary.peer.to_string(),
        "local": summary.local.to_string(),
        "bytes_received": summary.bytes_received,
        "bytes_sent": summary.bytes_sent,
        "duration_ms": u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX),
        "closed": summary.reason.name(),
        "properties": properties,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::CloseReason;

    #[test]
    fn the_line_is_json_whatever_the_filter_set() {
        let properties = [
            ("verdict".to_owned(), br#"{"rule":"x"}"#.to_vec()),
            ("raw".to_owned(), b"a \"quoted\" \xff".to_vec()),
        ];
        let summary = Summary {
            peer: "203.0.113.7:40001".parse().unwrap(),
            local: "192.0.2.25:25".parse().unwrap(),
            bytes_received: 12,
            bytes_sent: 34,
            reason: CloseReason::Filter,
            properties: properties.into(),
        };
        let line = line(&summary, Duration::from_millis(5));
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["client"], "203.0.113.7:40001");
        assert_eq!(value["closed"], "filter");
        assert_eq!(value["properties"]["verdict"]["rule"], "x");
        assert_eq!(value["properties"]["raw"], "a \"quoted\" \u{fffd}");
    }
}
