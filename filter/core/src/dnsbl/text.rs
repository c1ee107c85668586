//! Text of others, made fit for a reply line and a log.

/// The longest text kept, in octets: it must leave room in a reply line (RFC 5321 section
/// 4.5.3.1.5).
const MAX_TEXT: usize = 200;

/// One line of printable ASCII, at most [`MAX_TEXT`] octets. Braces become parentheses, so that no
/// text looks like a placeholder; what is not printable becomes `?`.
pub(super) fn sanitise(octets: impl Iterator<Item = u8>) -> String {
    let printable = |octet| match octet {
        b'{' => '(',
        b'}' => ')',
        b' '..=b'~' => char::from(octet),
        _ => '?',
    };
    octets.take(MAX_TEXT).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn only_one_harmless_line_is_left() {
        for (given, kept) in [
            (
                &b"Listed, see http://x.test/?a=~"[..],
                "Listed, see http://x.test/?a=~",
            ),
            (b"two\r\nlines\tand\0more\x7f", "two??lines?and?more?"),
            (b"{client} {{", "(client) (("),
            ("sch\u{f6}n".as_bytes(), "sch??n"),
            (b"", ""),
        ] {
            assert_eq!(sanitise(given.iter().copied()), kept);
        }
    }

    #[test]
    fn the_rest_of_a_long_text_is_dropped() {
        for (length, kept) in [(199, 199), (200, 200), (201, 200), (60_000, 200)] {
            assert_eq!(sanitise(std::iter::repeat_n(b'x', length)).len(), kept);
        }
    }
}
