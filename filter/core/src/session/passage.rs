//! Bytes on their way through the guard, copied only from the first change on.

use std::borrow::Cow;

/// Collects what of `source` goes on. As long as that is a prefix of it, nothing is copied.
#[derive(Debug)]
pub(super) struct Passage<'a> {
    source: &'a [u8],
    kept: usize,
    changed: Option<Vec<u8>>,
}

impl<'a> Passage<'a> {
    pub(super) fn new(source: &'a [u8]) -> Self {
        Self {
            source,
            kept: 0,
            changed: None,
        }
    }

    /// Lets `source[from..to]` pass.
    pub(super) fn keep(&mut self, from: usize, to: usize) {
        match &mut self.changed {
            None if from == self.kept => self.kept = to,
            _ => {
                let piece = self.source.get(from..to).unwrap_or_default();
                self.edit().extend_from_slice(piece);
            }
        }
    }

    /// Puts other bytes in.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.edit().extend_from_slice(bytes);
        }
    }

    pub(super) fn finish(self) -> Cow<'a, [u8]> {
        match self.changed {
            Some(bytes) => Cow::Owned(bytes),
            None => Cow::Borrowed(self.source.get(..self.kept).unwrap_or_default()),
        }
    }

    fn edit(&mut self) -> &mut Vec<u8> {
        let kept = self.source.get(..self.kept).unwrap_or_default();
        self.changed.get_or_insert_with(|| kept.to_vec())
    }
}

/// Appends without copying where one side is empty.
pub(super) fn append<'a>(to: &mut Cow<'a, [u8]>, bytes: Cow<'a, [u8]>) {
    if to.is_empty() {
        *to = bytes;
    } else if !bytes.is_empty() {
        to.to_mut().extend_from_slice(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_prefix_is_not_copied() {
        let mut passage = Passage::new(b"one two three");
        passage.keep(0, 4);
        passage.keep(4, 7);
        assert!(matches!(passage.finish(), Cow::Borrowed(b"one two")));
    }

    #[test]
    fn changes_keep_their_place() {
        let mut passage = Passage::new(b"one two three");
        passage.keep(0, 4);
        passage.put(b"2 ");
        passage.keep(8, 13);
        assert_eq!(passage.finish().as_ref(), b"one 2 three");
        let mut gap = Passage::new(b"one two three");
        gap.keep(4, 7);
        assert_eq!(gap.finish().as_ref(), b"two");
    }
}
