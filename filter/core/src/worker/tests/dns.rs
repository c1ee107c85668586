//! A resolver that says what a test tells it to: it reads the real request, and its answers are
//! written out octet by octet.

use crate::dnsbl::{Fault, Request};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What the resolver says to one question.
#[derive(Debug, Clone)]
pub(super) enum Say {
    /// These addresses in 127.0.0.0/24, by their last octet, for so many seconds.
    Listed(Vec<u8>, u32),
    /// One address, whatever it may mean.
    Address([u8; 4]),
    /// No such name; the SOA's TTL and its last field where there is one.
    Unlisted(Option<(u32, u32)>),
    /// A TXT record.
    Text(&'static str),
    /// Code 2.
    ServFail,
    /// Nothing that is an answer.
    Nothing(Fault),
}

/// A question on its way.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) ticket: u32,
    pub(super) name: String,
    pub(super) record: u16,
    message: Vec<u8>,
}

pub(super) const A: u16 = 1;
pub(super) const TXT: u16 = 16;

impl Asked {
    pub(super) fn read(ticket: u32, request: &Request) -> Self {
        let message = request.body.clone().unwrap_or_else(|| {
            let mut headers = request.headers.iter();
            let (_, path) = headers.find(|(name, _)| *name == ":path").unwrap();
            let (_, question) = path.split_once("?dns=").unwrap();
            URL_SAFE_NO_PAD.decode(question.as_bytes()).unwrap()
        });
        let (mut labels, mut at) = (Vec::new(), 12);
        while message[at] > 0 {
            let end = at + 1 + usize::from(message[at]);
            labels.push(String::from_utf8(message[at + 1..end].to_vec()).unwrap());
            at = end;
        }
        let record = u16::from_be_bytes([message[at + 1], message[at + 2]]);
        assert_eq!(message.len(), at + 5, "one question and nothing behind it");
        Self {
            ticket,
            name: labels.join("."),
            record,
            message,
        }
    }

    pub(super) fn answer(&self, say: &Say) -> Result<Vec<u8>, Fault> {
        const OWN: [u8; 2] = [0xc0, 12];
        let (code, answers, authorities) = match say {
            Say::Listed(codes, ttl) => {
                let address = |code: &u8| record(&OWN, A, *ttl, &[127, 0, 0, *code]);
                (0, codes.iter().map(address).collect(), Vec::new())
            }
            Say::Address(address) => (0, vec![record(&OWN, A, 300, address)], Vec::new()),
            Say::Unlisted(soa) => {
                let soa = soa.map(|(ttl, minimum)| {
                    let data = [&[0, 0][..], &[0; 16], &minimum.to_be_bytes()].concat();
                    record(&OWN, 6, ttl, &data)
                });
                (3, Vec::new(), soa.into_iter().collect())
            }
            Say::Text(text) => {
                let data = [&[text.len() as u8], text.as_bytes()].concat();
                (0, vec![record(&OWN, TXT, 300, &data)], Vec::new())
            }
            Say::ServFail => (2, Vec::new(), Vec::new()),
            Say::Nothing(fault) => return Err(*fault),
        };
        let mut message = self.message.clone();
        message[2..4].copy_from_slice(&[0x81, 0x80 | code]);
        message[7] = answers.len() as u8;
        message[9] = authorities.len() as u8;
        message.extend([answers, authorities].concat().concat());
        Ok(message)
    }
}

fn record(owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let head = [kind, 1].map(u16::to_be_bytes).concat();
    let length = (data.len() as u16).to_be_bytes();
    [owner, &head, &ttl.to_be_bytes(), &length, data].concat()
}
