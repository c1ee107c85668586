//! Requests to the store and its answers, which are read like a stranger's.

use super::outbox::News;
use crate::client::Client;
use crate::dnsbl::Request;
use crate::ledger::{Listing, Reason};
use crate::policy::{Policy, Value};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;

/// Listings in one page of the feed.
pub(super) const PAGE: usize = 200;
/// The longest answer that is read: a full page.
pub const MAX_ANSWER: usize = 65_536;

/// Reads a page of the feed. `XREAD` gives nested lists of names and values; one line for each is
/// less to read here.
const FEED: &str = include_str!("feed.lua");
/// Writes news and tells the sums. A batch that was written already is not counted twice.
const WRITE: &str = include_str!("write.lua");

/// Why the store could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// Nobody there.
    #[error("it cannot be reached")]
    Unreachable,
    /// Webdis refuses.
    #[error("HTTP status {0}")]
    Status(u16),
    /// Redis refuses.
    #[error("Redis refuses the command")]
    Refused,
    /// An answer that makes no sense.
    #[error("an answer that makes no sense")]
    Garbled,
}

/// A place in the feed: a Redis stream's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedId(String);

impl Default for FeedId {
    /// Before everything.
    fn default() -> Self {
        Self("0".to_owned())
    }
}

impl FeedId {
    fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse::<u64>().is_ok();
        let good = match text.split_once('-') {
            Some((millis, sequence)) => number(millis) && number(sequence),
            None => number(text),
        };
        good.then(|| Self(text.to_owned()))
    }
}

/// A page of the feed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Feed {
    /// Up to where it goes.
    pub last: FeedId,
    /// Whether there is more at once.
    pub full: bool,
    /// What it says; what cannot be read is left out.
    pub entries: Vec<Entry>,
}

/// Something about one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It is listed.
    Listed(Client, Listing),
    /// It is not listed any more.
    Pardoned(Client),
}

/// What all guards together have counted of a client, of late.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Totals {
    /// Unknown recipients.
    pub rejected: f32,
    /// Delivered ones.
    pub delivered: f32,
}

/// Asks for what the feed says after `after`.
pub(super) fn feed_request(policy: &Policy, after: &FeedId) -> Request {
    let page = PAGE.to_string();
    let prefix = &policy.config().fleet.prefix;
    request(policy, [FEED, "0", prefix, &after.0, &page].into_iter())
}

/// Writes these news as batch `number` of `origin`.
pub(super) fn write_request(
    policy: &Policy,
    (origin, number): (&str, u64),
    now: u32,
    news: &[(Client, News)],
) -> Request {
    let terms = policy.terms();
    let mut words = vec![policy.config().fleet.prefix.clone()];
    words.extend([origin.to_owned(), number.to_string()]);
    for life in [terms.half_life, terms.delivered_half_life] {
        let bucket = now / life.max(1);
        words.extend([bucket.to_string(), life.to_string()]);
    }
    for (client, news) in news {
        let (until, times, reason) = match news.listed {
            Some(listing) => (listing.until, listing.times, listing.reason.name()),
            None => (0, 0, "-"),
        };
        words.push(client.to_string());
        words.extend([news.rejected, news.delivered, until, times.into()].map(|n| n.to_string()));
        words.push(reason.to_owned());
    }
    let words = words.iter().map(String::as_str);
    request(policy, [WRITE, "0"].into_iter().chain(words))
}

/// `EVAL` with these words, each between slashes, in the body of a POST.
fn request<'a>(policy: &Policy, words: impl Iterator<Item = &'a str>) -> Request {
    let fleet = &policy.config().fleet;
    let mut body = String::from("EVAL");
    for word in words {
        body.push('/');
        // The script's own indentation need not travel.
        for (index, part) in word.split_ascii_whitespace().enumerate() {
            if index > 0 {
                body.push_str("%20");
            }
            body.extend(utf8_percent_encode(part, NON_ALPHANUMERIC));
        }
    }
    let mut headers = vec![
        (":method", "POST".to_owned()),
        (":scheme", "http".to_owned()),
        (":authority", fleet.authority.clone()),
        (":path", "/".to_owned()),
    ];
    if let Some(authorization) = &fleet.authorization {
        headers.push(("authorization", authorization.clone()));
    }
    Request {
        headers,
        body: Some(body.into_bytes()),
    }
}

/// What `EVAL` returned. Envoy answers 504 itself when the store took too long, and 503 when it
/// could not be reached; so does Webdis when Redis is gone.
fn result(status: &str, body: &[u8]) -> Result<Vec<Value>, Fault> {
    match status.parse() {
        Ok(200) => {}
        Ok(504) => return Err(Fault::Timeout),
        Ok(503) => return Err(Fault::Unreachable),
        Ok(status) => return Err(Fault::Status(status)),
        Err(_) => return Err(Fault::Garbled),
    }
    if body.len() > MAX_ANSWER {
        return Err(Fault::Garbled);
    }
    let answer: Value = serde_json::from_slice(body).map_err(|_| Fault::Garbled)?;
    let Value::Object(fields) = answer else {
        return Err(Fault::Garbled);
    };
    match fields.into_iter().find(|(name, _)| name == "EVAL") {
        Some((_, Value::List(values))) => match values.first() {
            Some(Value::Bool(false)) => Err(Fault::Refused),
            _ => Ok(values),
        },
        _ => Err(Fault::Garbled),
    }
}

/// A count, if it is one.
fn count_of(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        _ => None,
    }
}

/// A text, if it is one.
fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// Reads a page of the feed.
///
/// # Errors
/// [`Fault`] where the answer is none.
pub fn read_feed(status: &str, body: &[u8]) -> Result<Feed, Fault> {
    let values = result(status, body)?;
    let mut values = values.iter();
    let last = values.next().and_then(text_of).and_then(FeedId::parse);
    let count = values.next().and_then(count_of);
    let (Some(last), Some(count)) = (last, count) else {
        return Err(Fault::Garbled);
    };
    Ok(Feed {
        last,
        full: count >= PAGE as u64,
        entries: values.filter_map(text_of).filter_map(entry).collect(),
    })
}

/// A line of the feed: until, times, client, origin, reason.
fn entry(line: &str) -> Option<Entry> {
    let mut words = line.split(' ');
    let until = words.next()?.parse().ok()?;
    let times = words.next()?.parse().unwrap_or(u8::MAX);
    let client = words.next()?.parse().ok()?;
    let reason = Reason::named(words.nth(1).unwrap_or_default());
    Some(match until {
        0 => Entry::Pardoned(client),
        until => Entry::Listed(
            client,
            Listing {
                until,
                reason,
                times,
            },
        ),
    })
}

/// How much of what was counted in the half-life before this one is left at `now`, of unknown and
/// of delivered recipients: all of it when this one begins, half of it when it ends.
#[must_use]
pub fn weights(policy: &Policy, now: u32) -> [f32; 2] {
    let terms = policy.terms();
    [terms.half_life, terms.delivered_half_life].map(|life| {
        let life = life.max(1);
        1.0 - (now % life) as f32 / life as f32 / 2.0
    })
}

/// Reads the sums after a batch of `count` clients, in its order, by these [`weights`].
///
/// # Errors
/// [`Fault`] where the answer is none, or not for so many.
pub fn read_totals(
    status: &str,
    body: &[u8],
    count: usize,
    [weight, taken_weight]: [f32; 2],
) -> Result<Vec<Totals>, Fault> {
    let values = result(status, body)?;
    let numbers: Option<Vec<f32>> = values
        .iter()
        .map(|value| count_of(value).map(|number| number as f32))
        .collect();
    let numbers = numbers.ok_or(Fault::Garbled)?;
    let (fours, rest) = numbers.as_chunks::<4>();
    if !rest.is_empty() || fours.len() != count {
        return Err(Fault::Garbled);
    }
    // Each count has a bucket for this half-life and one for the last.
    let sums = fours
        .iter()
        .map(|[now, before, taken, taken_before]| Totals {
            rejected: now + before * weight,
            delivered: taken + taken_before * taken_weight,
        });
    Ok(sums.collect())
}
