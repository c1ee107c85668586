//! What a side writes at once, and which of its octets stand for others.

use thiserror::Error;

/// The most octets one mark can stand for.
const MOST_OCTETS: usize = 16 * 1024 * 1024;
/// A line of message content made up for octets left out, its CRLF included.
const LINE: &[u8] =
    b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n";

/// Why octets are not there, and what stands for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FillKind {
    /// Message content was left out: lines of `x`, the last ended by CRLF.
    Body,
    /// Text within a line was left out: `x`.
    Text,
    /// A secret was left out: `A`, which is base64 for nothing.
    Secret,
    /// A capture missed them: `x`.
    Lost,
}

impl FillKind {
    const ALL: [Self; 4] = [Self::Body, Self::Text, Self::Secret, Self::Lost];

    /// The word a scenario writes for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Text => "text",
            Self::Secret => "secret",
            Self::Lost => "lost",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Octets that are not known, at their place in a [`Segment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Where in the segment it begins.
    pub at: usize,
    /// How many octets it stands for.
    pub octets: usize,
    /// Why they are not there.
    pub kind: FillKind,
}

/// A mark that cannot be replayed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FillError {
    /// None, or too many.
    #[error("a mark stands for 1 to {MOST_OCTETS} octets, not {0}")]
    Octets(usize),
    /// Content without room for its line end.
    #[error("`body` ends with CRLF, so it stands for 2 octets at least; write `text`")]
    BodyOfOne,
}

/// What a side writes at once: octets, some of which may stand for others that
/// were left out of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    bytes: Vec<u8>,
    fills: Vec<Fill>,
}

/// A part of a segment.
pub(super) enum Part<'a> {
    Bytes(&'a [u8]),
    Fill(Fill),
}

impl Segment {
    /// All octets, those that stand for others included.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Which octets stand for others, in order.
    #[must_use]
    pub fn fills(&self) -> &[Fill] {
        &self.fills
    }

    /// Adds octets.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds so many octets that are not known.
    ///
    /// # Errors
    /// [`FillError`] for none, for more than 16 MiB, and for a body of one octet.
    pub fn push_fill(&mut self, kind: FillKind, octets: usize) -> Result<(), FillError> {
        match (kind, octets) {
            (_, 0) | (_, MOST_OCTETS..) if octets != MOST_OCTETS => {
                return Err(FillError::Octets(octets));
            }
            (FillKind::Body, 1) => return Err(FillError::BodyOfOne),
            (FillKind::Body, _) => push_lines(&mut self.bytes, octets),
            (FillKind::Text | FillKind::Lost, _) => extend(&mut self.bytes, b'x', octets),
            (FillKind::Secret, _) => extend(&mut self.bytes, b'A', octets),
        }
        let at = self.bytes.len() - octets;
        self.fills.push(Fill { at, octets, kind });
        Ok(())
    }

    /// Adds another segment's octets.
    pub fn append(&mut self, other: &Self) {
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        let moved = other.fills.iter().map(|fill| Fill {
            at: fill.at + offset,
            ..*fill
        });
        self.fills.extend(moved);
    }

    /// Octets and marks in order.
    pub(super) fn parts(&self) -> Vec<Part<'_>> {
        let mut parts = Vec::new();
        let mut at = 0;
        let plain = |from: usize, to: usize| {
            let bytes = self.bytes.get(from..to).unwrap_or_default();
            (!bytes.is_empty()).then_some(Part::Bytes(bytes))
        };
        for fill in &self.fills {
            parts.extend(plain(at, fill.at));
            parts.push(Part::Fill(*fill));
            at = fill.at + fill.octets;
        }
        parts.extend(plain(at, self.bytes.len()));
        parts
    }

    /// The segment line by line; content left out ends a line, too.
    pub(super) fn lines(&self) -> Vec<Self> {
        let mut lines = vec![Self::default()];
        let mut begin = |line: Self| {
            if let Some(last) = lines.last_mut() {
                last.append(&line);
            }
            let ended = match line.fills.last() {
                Some(fill) => fill.kind == FillKind::Body,
                None => line.bytes.ends_with(b"\n"),
            };
            if ended {
                lines.push(Self::default());
            }
        };
        for part in self.parts() {
            match part {
                Part::Bytes(bytes) => {
                    let pieces = bytes.split_inclusive(|byte| *byte == b'\n');
                    pieces.for_each(|piece| begin(piece.into()));
                }
                Part::Fill(fill) => {
                    let bytes = self.bytes.get(fill.at..fill.at + fill.octets);
                    let mut line = Self::from(bytes.unwrap_or_default());
                    line.fills.push(Fill { at: 0, ..fill });
                    begin(line);
                }
            }
        }
        if lines.len() > 1 && lines.last().is_some_and(|line| line.bytes.is_empty()) {
            lines.pop();
        }
        lines
    }
}

impl From<&[u8]> for Segment {
    fn from(bytes: &[u8]) -> Self {
        Self::from(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Segment {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            fills: Vec::new(),
        }
    }
}

fn extend(bytes: &mut Vec<u8>, byte: u8, count: usize) {
    bytes.resize(bytes.len() + count, byte);
}

fn push_lines(bytes: &mut Vec<u8>, octets: usize) {
    let mut left = octets;
    while left > 0 {
        let mut line = left.min(LINE.len());
        // The last line needs room for its CRLF.
        if left - line == 1 {
            line -= 1;
        }
        extend(bytes, b'x', line.saturating_sub(2));
        bytes.extend_from_slice(b"\r\n");
        left -= line;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_left_out_is_whole_lines_of_its_size() {
        for octets in (2..400).chain([4096, 100_001]) {
            let mut segment = Segment::default();
            segment.push_fill(FillKind::Body, octets).unwrap();
            let bytes = segment.bytes();
            assert_eq!(bytes.len(), octets);
            assert!(bytes.ends_with(b"\r\n"));
            let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
            assert!(lines.all(|line| line.len() <= 78 && line.ends_with(b"\r\n")));
            assert!(!bytes.contains(&b'.'));
        }
    }

    #[test]
    fn what_cannot_be_filled_is_refused() {
        let fill = |kind, octets| Segment::default().push_fill(kind, octets);
        assert_eq!(fill(FillKind::Body, 1), Err(FillError::BodyOfOne));
        assert_eq!(fill(FillKind::Lost, 0), Err(FillError::Octets(0)));
        assert_eq!(fill(FillKind::Text, MOST_OCTETS), Ok(()));
        let beyond = MOST_OCTETS + 1;
        assert_eq!(fill(FillKind::Text, beyond), Err(FillError::Octets(beyond)));
    }

    #[test]
    fn a_segment_falls_into_lines_and_marks() {
        let mut segment = Segment::from(b"DATA\r\na".as_slice());
        segment.push_fill(FillKind::Text, 3).unwrap();
        segment.push(b"\r\n");
        segment.push_fill(FillKind::Body, 80).unwrap();
        segment.push(b".\r\nQUIT");
        let lines = segment.lines();
        let sizes: Vec<usize> = lines.iter().map(|line| line.bytes().len()).collect();
        assert_eq!(sizes, [6, 6, 80, 3, 4]);
        let mut joined = Segment::default();
        lines.iter().for_each(|line| joined.append(line));
        assert_eq!(joined, segment);
    }
}
