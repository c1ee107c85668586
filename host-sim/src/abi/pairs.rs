//! Header maps as the ABI lays them out: the number of pairs, the lengths of
//! every name and value, then each of them with a NUL behind it.

/// The pairs behind these bytes, names in lower case; `None` when they do not
/// hold what their lengths say.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let (count, rest) = word(bytes)?;
    let (mut lengths, mut texts) = rest.split_at_checked(count.checked_mul(8)?)?;
    let mut pairs = Vec::new();
    while !lengths.is_empty() {
        let (name_length, after) = word(lengths)?;
        let (value_length, after) = word(after)?;
        lengths = after;
        let (name, after) = text(texts, name_length)?;
        let (value, after) = text(after, value_length)?;
        texts = after;
        pairs.push((name.to_ascii_lowercase(), value));
    }
    Some(pairs)
}

/// The bytes that stand for these pairs; none for none, as Envoy hands them over.
pub(super) fn encode(pairs: &[(String, String)]) -> Vec<u8> {
    if pairs.is_empty() {
        return Vec::new();
    }
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = length(pairs.len()).to_vec();
    for (name, value) in pairs {
        bytes.extend(length(name.len()));
        bytes.extend(length(value.len()));
    }
    for (name, value) in pairs {
        for text in [name, value] {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        }
    }
    bytes
}

fn word(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (word, rest) = bytes.split_first_chunk()?;
    Some((usize::try_from(u32::from_le_bytes(*word)).ok()?, rest))
}

fn text(bytes: &[u8], length: usize) -> Option<(String, &[u8])> {
    let (text, rest) = bytes.split_at_checked(length)?;
    let rest = rest.strip_prefix(b"\0")?;
    Some((String::from_utf8_lossy(text).into_owned(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_and_what_is_cut_is_not() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let pairs = vec![pair(":path", "/a"), pair("x", ""), pair("y", "\u{e9}")];
        let bytes = encode(&pairs);
        assert_eq!(decode(&bytes), Some(pairs));
        for length in 1..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "{length} bytes");
        }
        assert_eq!(decode(b""), Some(Vec::new()));
        assert_eq!(decode(b"\xff\xff\xff\xff"), None);
        assert_eq!(encode(&[]), b"");
        let known = b"\x01\0\0\0\x01\0\0\0\x02\0\0\0A\0bc\0";
        assert_eq!(decode(known), Some(vec![pair("a", "bc")]));
    }
}
