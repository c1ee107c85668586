//! One direction of a TCP connection, put together again.

use std::collections::BTreeMap;

/// Farther ahead nothing is waited for: no window is that wide, so what lies
/// between was not captured, and too much to make up.
const FARTHEST: u64 = 16 * 1024 * 1024;

/// What it takes to keep a piece besides its octets.
pub(super) const PIECE: usize = 64;

/// What a stream gives, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Bytes(Vec<u8>),
    /// So many octets were never captured.
    Lost(usize),
    End,
}

/// What was odd about a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Oddities {
    /// Octets that came once more.
    pub(super) again: u64,
    /// Octets that came once more, and others.
    pub(super) different: u64,
    /// Octets that were never captured.
    pub(super) lost: u64,
    /// Whether what came later was left out: too far ahead.
    pub(super) torn: bool,
}

/// One direction. Positions count its octets from 0, beyond the 32 bits of
/// sequence numbers.
#[derive(Debug)]
pub(super) struct Stream {
    /// The sequence number of position 0.
    first: u32,
    next: u64,
    waiting: BTreeMap<u64, Vec<u8>>,
    waiting_octets: usize,
    end: Option<u64>,
    ended: bool,
    acknowledged: u64,
    pub(super) oddities: Oddities,
}

impl Stream {
    /// A stream whose first octet has this sequence number.
    pub(super) fn new(first: u32) -> Self {
        Self {
            first,
            next: 0,
            waiting: BTreeMap::new(),
            waiting_octets: 0,
            end: None,
            ended: false,
            acknowledged: 0,
            oddities: Oddities::default(),
        }
    }

    /// Whether it began with a SYN of this number.
    pub(super) fn began_with(&self, seq: u32) -> bool {
        self.first == seq.wrapping_add(1)
    }

    /// Whether its end has come.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Octets that wait for others before them, and what it takes to keep each
    /// piece of them.
    pub(super) fn waiting(&self) -> usize {
        self.waiting_octets + self.waiting.len() * PIECE
    }

    /// Where a sequence number is: near what comes next. `None` before the beginning.
    fn position(&self, seq: u32) -> Option<u64> {
        // The lower half of a position is what sequence numbers count.
        #[allow(clippy::cast_possible_truncation, reason = "they count modulo 2^32")]
        let next = self.first.wrapping_add(self.next as u32);
        #[allow(clippy::cast_possible_wrap, reason = "the distance goes both ways")]
        let distance = i64::from(seq.wrapping_sub(next) as i32);
        self.next.checked_add_signed(distance)
    }

    /// Takes in octets, the first of which has this number.
    pub(super) fn write(&mut self, seq: u32, bytes: &[u8]) {
        let (at, bytes) = match self.position(seq) {
            Some(at) => (at, bytes),
            // A probe of the octet before the first.
            None => {
                let before = self.first.wrapping_sub(seq) as usize;
                (0, bytes.get(before..).unwrap_or_default())
            }
        };
        let read = usize::try_from(self.next.saturating_sub(at)).unwrap_or(usize::MAX);
        let read = read.min(bytes.len());
        self.oddities.again += read as u64;
        let (mut at, mut rest) = (at + read as u64, bytes.get(read..).unwrap_or_default());
        if at > self.next + FARTHEST {
            self.oddities.torn |= !rest.is_empty();
            return;
        }
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(self.fitting(at, rest));
            at += piece.len() as u64;
            rest = after;
        }
    }

    /// Keeps the first of these octets that are new, or holds those that are not
    /// against what is there; says how many.
    fn fitting(&mut self, at: u64, bytes: &[u8]) -> usize {
        let before = self.waiting.range(..=at).next_back();
        if let Some((start, known)) = before
            && let Some(known) = usize::try_from(at - start)
                .ok()
                .and_then(|skip| known.get(skip..))
            && !known.is_empty()
        {
            let pairs = known.iter().zip(bytes);
            let different = pairs.filter(|(known, byte)| known != byte).count();
            let again = known.len().min(bytes.len());
            self.oddities.again += again as u64;
            self.oddities.different += different as u64;
            return again;
        }
        let following = self.waiting.range(at..).next();
        let room = following.and_then(|(start, _)| usize::try_from(start - at).ok());
        let new = bytes.len().min(room.unwrap_or(usize::MAX));
        self.waiting_octets += new;
        self.waiting
            .insert(at, bytes.get(..new).unwrap_or_default().to_vec());
        new
    }

    /// The sender ended the stream with this number.
    pub(super) fn end(&mut self, seq: u32) {
        let end = self.position(seq).unwrap_or(0);
        if self.end.is_none() && end <= self.next + FARTHEST {
            self.end = Some(end.max(self.next));
        }
    }

    /// The receiver has everything before this number.
    pub(super) fn acknowledge(&mut self, seq: u32) {
        let position = self.position(seq).unwrap_or(0);
        if position <= self.next + FARTHEST {
            self.acknowledged = self.acknowledged.max(position);
        }
    }

    /// Whether the receiver has octets that were not captured.
    pub(super) fn lacks_acknowledged(&self) -> bool {
        self.hole().is_some_and(|hole| hole > 0)
    }

    /// How many octets are missing next that the receiver has.
    fn hole(&self) -> Option<u64> {
        let limit = self.end.unwrap_or(u64::MAX);
        let known = self.waiting.first_key_value().map_or(limit, |(at, _)| *at);
        self.acknowledged.min(known).checked_sub(self.next)
    }

    /// Gives what can be given in order.
    pub(super) fn take(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while let Some(bytes) = self.waiting.remove(&self.next) {
            self.next += bytes.len() as u64;
            self.waiting_octets -= bytes.len();
            pieces.push(Piece::Bytes(bytes));
        }
        if self.end.is_some_and(|end| end <= self.next) && !self.ended {
            self.ended = true;
            pieces.push(Piece::End);
        }
        pieces
    }

    /// Gives up what the receiver has though it was not captured.
    pub(super) fn give_up_acknowledged(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while let Some(hole) = self.hole().filter(|hole| *hole > 0) {
            pieces.extend(self.lose(hole));
            pieces.extend(self.take());
        }
        pieces
    }

    /// Gives up what is missing before the first octets that wait, or the end.
    pub(super) fn give_up_next(&mut self) -> Vec<Piece> {
        let known = self.waiting.first_key_value().map(|(at, _)| *at);
        let Some(known) = known.or(self.end) else {
            return Vec::new();
        };
        let mut pieces = self.lose(known.saturating_sub(self.next));
        pieces.extend(self.take());
        pieces
    }

    /// Gives all that there is: nothing else comes.
    pub(super) fn give_up_all(&mut self) -> Vec<Piece> {
        let mut pieces = self.take();
        while !self.waiting.is_empty() || (self.end.is_some() && !self.ended) {
            pieces.extend(self.give_up_next());
        }
        pieces
    }

    fn lose(&mut self, octets: u64) -> Vec<Piece> {
        self.next += octets;
        self.oddities.lost += octets;
        match usize::try_from(octets) {
            Ok(lost @ 1..) => vec![Piece::Lost(lost)],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a stream of these segments gives; lost octets as `?`.
    fn joined(pieces: &[Piece]) -> Vec<u8> {
        let bytes = |piece: &Piece| match piece {
            Piece::Bytes(bytes) => bytes.clone(),
            Piece::Lost(octets) => vec![b'?'; *octets],
            Piece::End => b"|".to_vec(),
        };
        pieces.iter().flat_map(bytes).collect()
    }

    fn text(size: usize) -> Vec<u8> {
        (b'a'..=b'z').cycle().take(size).collect()
    }

    proptest! {
        /// Whatever pieces of a stream come, in whatever order, how often, and
        /// wherever their numbers turn over: what came is given once, in order.
        #[test]
        fn any_order_gives_the_stream(
            size in 1usize..400,
            first in prop_oneof![any::<u32>(), (u32::MAX - 300)..=u32::MAX],
            cuts in prop::collection::vec((0usize..400, 1usize..80), 0..40),
            eager in any::<bool>(),
        ) {
            let all = text(size);
            let mut stream = Stream::new(first);
            let mut pieces = Vec::new();
            let mut seen = vec![false; size];
            let number = |at: usize| first.wrapping_add(u32::try_from(at).unwrap());
            for (start, length) in cuts {
                let (start, stop) = (start.min(size), (start + length).min(size));
                stream.write(number(start), &all[start..stop]);
                seen[start..stop].fill(true);
                if eager {
                    pieces.extend(stream.take());
                }
            }
            stream.end(number(size));
            pieces.extend(stream.give_up_all());
            let expected: Vec<u8> = all
                .iter()
                .zip(&seen)
                .map(|(byte, seen)| if *seen { *byte } else { b'?' })
                .chain([b'|'])
                .collect();
            prop_assert_eq!(String::from_utf8(joined(&pieces)), String::from_utf8(expected));
            prop_assert_eq!(stream.waiting(), 0);
            prop_assert_eq!(stream.oddities.different, 0);
            let lost = seen.iter().filter(|seen| !**seen).count();
            prop_assert_eq!(stream.oddities.lost, lost as u64);
        }
    }

    #[test]
    fn the_first_copy_of_an_octet_counts() {
        let mut stream = Stream::new(10);
        stream.write(13, b"def");
        stream.write(12, b"cDEg");
        stream.write(10, b"abC");
        assert_eq!(joined(&stream.take()), b"abcdef");
        assert_eq!(stream.oddities.different, 4);
        stream.write(9, b"_abcdefgh");
        assert_eq!(joined(&stream.take()), b"gh");
    }

    #[test]
    fn what_the_receiver_has_is_not_waited_for() {
        let mut stream = Stream::new(0);
        stream.write(5, b"world");
        assert_eq!(stream.take(), []);
        stream.acknowledge(3);
        assert_eq!(joined(&stream.give_up_acknowledged()), b"???");
        stream.acknowledge(10);
        assert_eq!(joined(&stream.give_up_acknowledged()), b"??world");
        // The end has a number of its own, which is acknowledged as well.
        stream.end(10);
        stream.acknowledge(11);
        assert_eq!(joined(&stream.take()), b"|");
        assert!(!stream.lacks_acknowledged());
    }

    #[test]
    fn what_is_too_far_ahead_tears_the_stream() {
        let mut stream = Stream::new(0);
        stream.write(u32::try_from(FARTHEST).unwrap() + 1, b"x");
        assert!(stream.oddities.torn);
        stream.end(u32::try_from(FARTHEST).unwrap() + 1);
        assert_eq!(stream.give_up_all(), []);
    }
}
