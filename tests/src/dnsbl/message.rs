//! DNS messages (RFC 1035), as a server writes them and a client reads them.

use std::net::Ipv4Addr;

use domain::{
    base::{
        Message, MessageBuilder, Name, Rtype, Ttl,
        iana::Rcode,
        message_builder::{AnswerBuilder, AuthorityBuilder, PushError},
    },
    rdata::{A, Soa, Txt},
};

use crate::Error;

/// The names under which a list's test points are asked for (RFC 5782 section 5): 127.0.0.1 and
/// 127.0.0.2, `::FFFF:7F00:1` and `::FFFF:7F00:2`.
const TEST_POINTS: [&str; 4] = [
    "1.0.0.127.",
    "2.0.0.127.",
    "1.0.0.0.0.0.f.7.f.f.f.f.",
    "2.0.0.0.0.0.f.7.f.f.f.f.",
];

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name, lower case, without a dot at its end.
    pub name: String,
    /// The record's type, such as `A` or `TXT`.
    pub record: String,
}

/// One record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An address.
    A(Ipv4Addr),
    /// A text.
    Txt(String),
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// The response code (RFC 1035 section 4.1.1): 0 is no error, 2 a failure, 3 no such name.
    pub rcode: u8,
    /// The records, each with its TTL in seconds.
    pub answers: Vec<(u32, Record)>,
    /// The TTL of the SOA record that goes with a denial, and its MINIMUM field (RFC 2308).
    pub soa: Option<(u32, u32)>,
    /// Whether the server says that it left something out.
    pub truncated: bool,
}

impl Question {
    /// Whether it is for a name in this list.
    #[must_use]
    pub fn is_in(&self, domain: &str) -> bool {
        let below = self.name.strip_suffix(domain);
        below.is_some_and(|rest| rest.ends_with('.'))
    }

    /// Whether it is for a list's test point, and not for a client.
    #[must_use]
    pub fn is_test_point(&self) -> bool {
        TEST_POINTS.iter().any(|point| self.name.starts_with(point))
    }
}

impl Reply {
    /// The client is listed, with these codes.
    #[must_use]
    pub fn listed(codes: &[[u8; 4]], ttl: u32) -> Self {
        let record = |code: &[u8; 4]| (ttl, Record::A(Ipv4Addr::from(*code)));
        Self {
            answers: codes.iter().map(record).collect(),
            ..Self::default()
        }
    }

    /// The client is not listed, which holds for `ttl` seconds.
    #[must_use]
    pub fn unlisted(ttl: u32) -> Self {
        Self {
            rcode: 3,
            soa: Some((ttl, ttl)),
            ..Self::default()
        }
    }

    /// A text.
    #[must_use]
    pub fn text(text: &str, ttl: u32) -> Self {
        Self {
            answers: vec![(ttl, Record::Txt(text.into()))],
            ..Self::default()
        }
    }

    /// A response code and nothing else.
    #[must_use]
    pub fn code(rcode: u8) -> Self {
        Self {
            rcode,
            ..Self::default()
        }
    }

    /// The message that answers `question`.
    ///
    /// # Errors
    /// [`Error::Dns`] if it would be too long, or `question` has no question.
    pub(super) fn to(&self, question: &Message<Vec<u8>>) -> Result<Vec<u8>, Error> {
        let asked = question.sole_question().map_err(Error::dns("reading"))?;
        let builder = MessageBuilder::new_vec();
        let mut answer = builder
            .start_answer(question, Rcode::masked_from_int(self.rcode))
            .map_err(Error::dns("writing"))?;
        answer.header_mut().set_ra(true);
        answer.header_mut().set_tc(self.truncated);
        for (ttl, record) in &self.answers {
            let owner = asked.qname();
            match record {
                Record::A(address) => answer.push((owner, Ttl::from_secs(*ttl), A::new(*address))),
                Record::Txt(text) => {
                    let text = Txt::<Vec<u8>>::build_from_slice(text.as_bytes())
                        .map_err(Error::dns("writing a text"))?;
                    answer.push((owner, Ttl::from_secs(*ttl), text))
                }
            }
            .map_err(Error::dns("writing an answer"))?;
        }
        self.finish(answer, asked.qname())
            .map_err(Error::dns("writing a SOA record"))
    }

    fn finish(
        &self,
        answer: AnswerBuilder<Vec<u8>>,
        owner: &impl domain::base::ToName,
    ) -> Result<Vec<u8>, PushError> {
        let mut authority: AuthorityBuilder<Vec<u8>> = answer.authority();
        if let Some((ttl, minimum)) = self.soa {
            let root = Name::root_vec();
            let zero = Ttl::from_secs(0);
            let serial = 1.into();
            let soa = Soa::new(
                root.clone(),
                root,
                serial,
                zero,
                zero,
                zero,
                Ttl::from_secs(minimum),
            );
            authority.push((owner, Ttl::from_secs(ttl), soa))?;
        }
        Ok(authority.finish())
    }
}

/// The message that asks; ID 0, as RFC 8484 section 4.1 wants it for caches' sake.
///
/// # Errors
/// [`Error::Dns`] if `name` is no domain name.
pub(super) fn ask(name: &str, record: &str) -> Result<Vec<u8>, Error> {
    let name: Name<Vec<u8>> = name
        .parse()
        .map_err(Error::dns(format!("the name {name:?}")))?;
    let record: Rtype = record
        .parse()
        .map_err(Error::dns(format!("the type {record:?}")))?;
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_rd(true);
    let mut question = builder.question();
    question
        .push((name, record))
        .map_err(Error::dns("asking"))?;
    Ok(question.finish())
}

/// The message and its one question.
///
/// # Errors
/// [`Error::Dns`] if it is no message with one question.
pub(super) fn read_question(octets: Vec<u8>) -> Result<(Message<Vec<u8>>, Question), Error> {
    let message = Message::from_octets(octets).map_err(Error::dns("reading a question"))?;
    let asked = message
        .sole_question()
        .map_err(Error::dns("reading a question"))?;
    let question = Question {
        name: asked.qname().to_string().to_ascii_lowercase(),
        record: asked.qtype().to_string(),
    };
    Ok((message, question))
}

/// What a message answers; records of other kinds than [`Record`]'s are left out.
///
/// # Errors
/// [`Error::Dns`] if it is no message.
pub(super) fn read_reply(octets: Vec<u8>) -> Result<Reply, Error> {
    let message = Message::from_octets(octets).map_err(Error::dns("reading an answer"))?;
    let mut reply = Reply {
        rcode: message.header().rcode().to_int(),
        truncated: message.header().tc(),
        ..Reply::default()
    };
    let answers = message.answer().map_err(Error::dns("reading an answer"))?;
    for record in answers.limit_to::<A>() {
        let record = record.map_err(Error::dns("reading an address"))?;
        let address = Record::A(record.data().addr());
        reply.answers.push((record.ttl().as_secs(), address));
    }
    for record in answers.limit_to::<Txt<_>>() {
        let record = record.map_err(Error::dns("reading a text"))?;
        let text: Vec<u8> = record.data().text();
        let text = Record::Txt(String::from_utf8_lossy(&text).into_owned());
        reply.answers.push((record.ttl().as_secs(), text));
    }
    let authority = message
        .authority()
        .map_err(Error::dns("reading an answer"))?;
    for record in authority.limit_to::<Soa<_>>() {
        let record = record.map_err(Error::dns("reading a SOA record"))?;
        reply.soa = Some((record.ttl().as_secs(), record.data().minimum().as_secs()));
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(reply: Reply) {
        let question = ask("7.113.0.203.bl.example.test", "A").unwrap();
        let (message, asked) = read_question(question).unwrap();
        assert!(asked.is_in("bl.example.test") && !asked.is_in("l.example.test"));
        let octets = reply.to(&message).unwrap();
        assert_eq!(read_reply(octets).unwrap(), reply);
    }

    #[test]
    fn what_is_written_is_read_back() {
        round_trip(Reply::listed(&[[127, 0, 0, 2], [127, 0, 0, 11]], 60));
        round_trip(Reply::unlisted(30));
        round_trip(Reply::code(2));
        round_trip(Reply::text(&"long ".repeat(80), 5));
        round_trip(Reply {
            truncated: true,
            ..Reply::default()
        });
    }

    #[test]
    fn test_points_of_both_families_are_known() {
        for name in [
            super::super::query_name("127.0.0.2".parse().unwrap(), "bl.test"),
            super::super::query_name("::ffff:127.0.0.1".parse().unwrap(), "bl.test"),
        ] {
            let record = "A".into();
            assert!(Question { name, record }.is_test_point());
        }
    }
}
