//! What a transcript is kept as until it is written: one item behind the other.
//!
//! An item is its kind, then numbers in base 128 with the low end first, and octets behind their
//! number. Those with a time begin with the microseconds since the one before.

/// Octets of the client have come: time, how many.
pub(super) const ARRIVED: u8 = 0;
/// The server says what the next server's items hold: time.
pub(super) const SERVER: u8 = 1;
/// The client reads words of the guard: time, octets.
pub(super) const GUARD: u8 = 2;
/// What workers share: time, key, value.
pub(super) const SHARED: u8 = 3;
/// Another worker's message: time, octets.
pub(super) const MESSAGE: u8 = 4;
/// The end of the client's side: time.
pub(super) const CLIENT_END: u8 = 5;
/// The end of the server's side: time.
pub(super) const SERVER_END: u8 = 6;
const CLIENT_PLAIN: u8 = 7;
const SERVER_PLAIN: u8 = 8;
/// And the kind of octets left out behind it.
const CLIENT_FILL: u8 = 16;
const SERVER_FILL: u8 = 24;

/// What octets that are left out were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    Text,
    Body,
    Secret,
}

const FILLS: [Fill; 3] = [Fill::Text, Fill::Body, Fill::Secret];

impl Fill {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Body => "body",
            Self::Secret => "secret",
        }
    }
}

/// A piece of what was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// Something with a time.
    Timed {
        kind: u8,
        /// Microseconds since the one before.
        after: u64,
        octets: u64,
        first: &'a [u8],
        second: &'a [u8],
    },
    ClientPlain(&'a [u8]),
    ClientFill(Fill, u64),
    ServerPlain(&'a [u8]),
    ServerFill(Fill, u64),
}

impl<'a> Item<'a> {
    pub(super) fn push(&self, to: &mut Vec<u8>) {
        match self {
            Self::ClientPlain(bytes) => {
                to.push(CLIENT_PLAIN);
                push_bytes(to, bytes);
            }
            Self::ServerPlain(bytes) => {
                to.push(SERVER_PLAIN);
                push_bytes(to, bytes);
            }
            Self::ClientFill(fill, octets) => {
                to.push(CLIENT_FILL + *fill as u8);
                push_number(to, *octets);
            }
            Self::ServerFill(fill, octets) => {
                to.push(SERVER_FILL + *fill as u8);
                push_number(to, *octets);
            }
            Self::Timed { .. } => {}
        }
    }

    /// Takes the first item off; `None` at the end.
    pub(super) fn take(from: &mut &'a [u8]) -> Option<Self> {
        let (&kind, rest) = from.split_first()?;
        *from = rest;
        let fill = |base: u8| FILLS.get(usize::from(kind.checked_sub(base)?)).copied();
        Some(match kind {
            CLIENT_PLAIN => Self::ClientPlain(take_bytes(from)?),
            SERVER_PLAIN => Self::ServerPlain(take_bytes(from)?),
            SERVER_FILL.. => Self::ServerFill(fill(SERVER_FILL)?, take_number(from)?),
            CLIENT_FILL.. => Self::ClientFill(fill(CLIENT_FILL)?, take_number(from)?),
            _ => {
                let after = take_number(from)?;
                let octets = match kind {
                    ARRIVED => take_number(from)?,
                    _ => 0,
                };
                let first = match kind {
                    GUARD | SHARED | MESSAGE => take_bytes(from)?,
                    _ => b"",
                };
                let second = match kind {
                    SHARED => take_bytes(from)?,
                    _ => b"",
                };
                Self::Timed {
                    kind,
                    after,
                    octets,
                    first,
                    second,
                }
            }
        })
    }
}

pub(super) fn push_number(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    to.push(number.to_le_bytes()[0]);
}

pub(super) fn push_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    push_number(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

fn take_number(from: &mut &[u8]) -> Option<u64> {
    if let Some((&octet @ ..0x80, rest)) = from.split_first() {
        *from = rest;
        return Some(octet.into());
    }
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&octet, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(octet & 0x7f) << shift;
        if octet < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take_bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take_number(from)?).ok()?;
    let (bytes, rest) = from.split_at_checked(len)?;
    *from = rest;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn items_are_read_as_they_were_put() {
        let mut bytes = Vec::new();
        let items = [
            Item::ClientPlain(b"EHLO a\r\n"),
            Item::ClientFill(Fill::Secret, 300),
            Item::ServerPlain(b""),
            Item::ServerFill(Fill::Text, u64::MAX),
        ];
        items.iter().for_each(|item| item.push(&mut bytes));
        let mut rest = bytes.as_slice();
        let read: Vec<_> = std::iter::from_fn(|| Item::take(&mut rest)).collect();
        assert_eq!(read, items);
        let mut cut = &bytes[..5];
        assert_eq!(Item::take(&mut cut), None);
    }
}
