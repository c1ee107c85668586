//! What is so long that it comes in many pieces.

/// Octets that Envoy reads at once.
pub(crate) const SEGMENT: usize = 16 * 1024;
/// Octets of a large message.
pub(crate) const LARGE: usize = 10_000_000;

/// Lines of 78 octets, as base64 has them.
pub(crate) const BASE64_LINE: &[u8] = &{
    let mut line = [b'a'; 78];
    line[76] = b'\r';
    line[77] = b'\n';
    line
};

/// A line that is read octet by octet where it begins.
pub(crate) const DOTTED_LINE: &[u8] = b".. dots, and short lines\r\n";

/// So many octets of these, over and over.
pub(crate) fn repeated(pattern: &[u8], octets: usize) -> Vec<u8> {
    pattern.iter().copied().cycle().take(octets).collect()
}

/// A message of whole lines and its end, [`LARGE`] octets at most.
pub(crate) fn body(line: &[u8]) -> Vec<u8> {
    const END: &[u8] = b".\r\n";
    let lines = (LARGE - END.len()) / line.len();
    [&repeated(line, lines * line.len()), END].concat()
}
