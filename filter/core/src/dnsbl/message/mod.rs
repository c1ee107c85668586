//! DNS messages (RFC 1035 section 4).

use super::{Fault, MAX_BODY, text};
use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Name, ParsedName, Question, Ttl};
use domain::dep::octseq::Array;
use domain::rdata::{A, Soa, Txt};
use std::net::Ipv4Addr;
use std::time::Duration;

/// The most addresses kept of one answer. Lists give one for each reason, a handful at most.
const MAX_CODES: usize = 16;

/// The longest name in a message (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 255;

/// Room for a header and one question with the longest name.
const MAX_QUESTION: usize = 12 + MAX_NAME + 4;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordType {
    /// Addresses: whether a client is listed, and for what.
    A,
    /// Text: why, in words.
    Txt,
}

/// What one zone says about one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The client is listed.
    Listed {
        /// The distinct addresses, all in 127.0.0.0/8, at most 16.
        codes: Vec<Ipv4Addr>,
        /// How long this holds: the lowest TTL of the addresses.
        ttl: Duration,
    },
    /// The client is not listed.
    Unlisted {
        /// How long this holds (RFC 2308 section 5); `None` where the zone does not say.
        ttl: Option<Duration>,
    },
    /// The answer says nothing about the client.
    Failed(Fault),
}

impl RecordType {
    fn code(self) -> Rtype {
        match self {
            Self::A => Rtype::A,
            Self::Txt => Rtype::TXT,
        }
    }
}

/// The message that asks for `record` of `name`: ID 0 (RFC 8484 section 4.1), recursion desired.
/// `None` where `name` is no domain name.
#[must_use]
pub fn question(name: &str, record: RecordType) -> Option<Vec<u8>> {
    let target = Array::<MAX_QUESTION>::default();
    let mut builder = MessageBuilder::from_target(target).ok()?.question();
    builder.header_mut().set_rd(true);
    builder.push((read_name(name)?, record.code())).ok()?;
    Some(builder.as_slice().to_vec())
}

/// Reads the answer to a question for the addresses of `name`. An answer is believed as a whole or
/// not at all: one address that no list may give spoils it.
#[must_use]
pub fn read_answer(message: &[u8], name: &str) -> Answer {
    read_addresses(message, name).unwrap_or_else(Answer::Failed)
}

/// Reads the answer to a question for the text of `name`: the strings of the first record, joined,
/// made one line of printable ASCII of at most 200 octets.
#[must_use]
pub fn read_text(message: &[u8], name: &str) -> Option<String> {
    let message = response(message, name, RecordType::Txt).ok()?;
    let owner = message.canonical_name()?;
    let records = message.answer().ok()?.limit_to_in::<Txt<_>>();
    let mut owned = records.flatten().filter(|record| *record.owner() == owner);
    let strings = owned.next()?;
    let text = text::sanitise(strings.data().iter().flatten().copied());
    (!text.is_empty()).then_some(text)
}

fn read_name(name: &str) -> Option<Name<Array<MAX_NAME>>> {
    let name: Name<_> = name.parse().ok()?;
    (!name.is_root()).then_some(name)
}

/// The message, where it is the answer to the question for `record` of `name`.
fn response<'a>(
    octets: &'a [u8],
    name: &str,
    record: RecordType,
) -> Result<Message<&'a [u8]>, Fault> {
    if octets.len() > MAX_BODY {
        return Err(Fault::TooLong);
    }
    let message = Message::from_octets(octets).map_err(|_| Fault::Malformed)?;
    let header = message.header();
    if !header.qr() || header.opcode() != Opcode::QUERY {
        return Err(Fault::Malformed);
    }
    // Servers that fail need not repeat the question, so the code comes before it.
    match header.rcode() {
        Rcode::NOERROR | Rcode::NXDOMAIN => {}
        Rcode::SERVFAIL => return Err(Fault::ServFail),
        Rcode::REFUSED => return Err(Fault::RefusedByServer),
        other => return Err(Fault::ResponseCode(other.to_int())),
    }
    if header.tc() {
        return Err(Fault::Truncated);
    }
    let mut questions = message.question();
    let asked = questions.next().ok_or(Fault::OtherQuestion)?;
    let asked = asked.map_err(|_| Fault::Malformed)?;
    match questions.next() {
        None if is_ours(&asked, name, record) => Ok(message),
        _ => Err(Fault::OtherQuestion),
    }
}

/// Whether a question is the one for `record` of `name`. Names are compared without regard to case
/// (RFC 4343), which resolvers may change.
fn is_ours(asked: &Question<ParsedName<&[u8]>>, name: &str, record: RecordType) -> bool {
    asked.qtype() == record.code()
        && asked.qclass() == Class::IN
        && read_name(name).is_some_and(|name| *asked.qname() == name)
}

fn read_addresses(octets: &[u8], name: &str) -> Result<Answer, Fault> {
    let message = response(octets, name, RecordType::A)?;
    let mut codes = Vec::new();
    let mut lowest: Option<Duration> = None;
    // Only a chain of aliases that goes in circles, or a broken one, has no end.
    let owner = message.canonical_name().ok_or(Fault::Malformed)?;
    let section = message.answer().map_err(|_| Fault::Malformed)?;
    for record in section.limit_to_in::<A>() {
        let record = record.map_err(|_| Fault::Malformed)?;
        if *record.owner() != owner {
            continue;
        }
        let code = record.data().addr();
        check_code(code)?;
        if codes.len() < MAX_CODES && !codes.contains(&code) {
            codes.push(code);
        }
        let ttl = duration(record.ttl());
        lowest = Some(lowest.map_or(ttl, |lowest| lowest.min(ttl)));
    }
    match lowest {
        Some(ttl) if message.header().rcode() == Rcode::NOERROR => {
            Ok(Answer::Listed { codes, ttl })
        }
        // An address of a name that does not exist.
        Some(_) => Err(Fault::Malformed),
        None => Ok(Answer::Unlisted {
            ttl: negative_ttl(&message)?,
        }),
    }
}

fn check_code(code: Ipv4Addr) -> Result<(), Fault> {
    match code.octets() {
        [127, 255, 255, _] => Err(Fault::ErrorCode),
        [127, 0, 0, 1] => Err(Fault::TestPoint),
        [127, ..] => Ok(()),
        _ => Err(Fault::OutsideLoopback),
    }
}

/// How long "not listed" holds: the lower of the SOA's TTL and its last field (RFC 2308 section 5).
fn negative_ttl(message: &Message<&[u8]>) -> Result<Option<Duration>, Fault> {
    let section = message.authority().map_err(|_| Fault::Malformed)?;
    let Some(record) = section.limit_to_in::<Soa<ParsedName<_>>>().next() else {
        return Ok(None);
    };
    let record = record.map_err(|_| Fault::Malformed)?;
    let minimum = duration(record.data().minimum());
    Ok(Some(duration(record.ttl()).min(minimum)))
}

/// A TTL with the highest bit set counts as 0 (RFC 2181 section 8).
fn duration(ttl: Ttl) -> Duration {
    let seconds = i32::try_from(ttl.as_secs()).unwrap_or(0);
    Duration::from_secs(u64::from(seconds.unsigned_abs()))
}

#[cfg(test)]
mod tests;
