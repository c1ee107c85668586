//! Recipients that never existed.

/// Mailboxes with `*` for any characters, compared in any ASCII case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Traps(Vec<Vec<u8>>);

impl Traps {
    pub(super) fn new(patterns: &[String]) -> Self {
        let patterns = patterns.iter();
        Self(
            patterns
                .map(|pattern| pattern.to_ascii_lowercase().into_bytes())
                .collect(),
        )
    }

    /// Whether a mailbox is one of them.
    pub(super) fn hold(&self, mailbox: &[u8]) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let mailbox = mailbox.to_ascii_lowercase();
        self.0.iter().any(|pattern| matches(pattern, &mailbox))
    }
}

/// The pieces between stars have to follow each other: the first at the beginning, the last at the
/// end, each other as early as it can.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let mut pieces = pattern.split(|octet| *octet == b'*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        let ends = (piece.len()..=rest.len()).map(|end| rest.split_at(end));
        let mut found = ends.filter(|(before, _)| before.ends_with(piece));
        match found.next() {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, mailbox, expected) in [
            ("a@b.test", "a@b.test", true),
            ("A@b.test", "a@B.TEST", true),
            ("a@b.test", "aa@b.test", false),
            ("a@b.test", "a@b.test.org", false),
            ("*@b.test", "anybody@b.test", true),
            ("*@b.test", "anybody@c.b.test", false),
            ("old-*@b.test", "old-@b.test", true),
            ("old-*@b.test", "old@b.test", false),
            ("*x*y*", "-x-y-", true),
            ("*x*y*", "-y-x-", false),
            ("ab*ba", "aba", false),
            ("ab*ba", "abba", true),
            ("*", "", true),
            ("a?@b.test", "ab@b.test", false),
        ] {
            let traps = Traps::new(&[pattern.to_owned()]);
            assert_eq!(
                traps.hold(mailbox.as_bytes()),
                expected,
                "{pattern} {mailbox}"
            );
        }
        assert!(!Traps::default().hold(b"a@b.test"));
    }
}
