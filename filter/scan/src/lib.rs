//! The one loop that every octet of a message goes through.
//!
//! It is a crate of its own to be compiled for speed, where the rest of the filter is compiled to be
//! small (`[profile.release.package]` in the workspace's manifest). That does not make vectors of a
//! plain loop: the compiler decides on those for all crates together. So they are written out.

#![no_std]

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod vectors;

/// Where a line begins with a dot (RFC 5321 section 4.5.2): the place of the LF before it.
#[must_use]
pub fn dotted_line(text: &[u8]) -> Option<usize> {
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    return vectors::dotted_line(text);
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    return memchr::memmem::find(text, b"\n.");
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::dotted_line;
    use std::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn it_is_found_at_every_place() {
        for len in 0..420 {
            let mut text = vec![b'.'; len];
            assert_eq!(dotted_line(&text), None);
            text.fill(b'\n');
            assert_eq!(dotted_line(&text), None);
            for at in 0..len.saturating_sub(1) {
                text.fill(b'a');
                text[at + 1] = b'.';
                assert_eq!(dotted_line(&text), None, "{at} of {len}");
                text[at] = b'\n';
                assert_eq!(dotted_line(&text), Some(at), "{at} of {len}");
                if at + 2 < len - 1 {
                    text[len - 2..].copy_from_slice(b"\n.");
                    assert_eq!(dotted_line(&text), Some(at), "the first of two");
                }
            }
        }
    }
}
