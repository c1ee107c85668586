//! The lines before the dialogue: who meets whom, and where a record comes from.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::error::{ErrorKind, Located};
use super::syntax::Word;
use super::{Policy, Scenario, ServerRole};
use crate::clock::Timestamp;
use crate::mta::Mailboxes;

/// What a record says of the session it was made of. A scenario written by hand
/// needs none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The server's address, which a filter may read as `upstream.address`.
    pub upstream: Option<SocketAddr>,
    /// The listener's name; only noted.
    pub listener: Option<String>,
    /// When the session began. The virtual clock begins there.
    pub started: Option<Timestamp>,
    /// Which policy the session met; only noted.
    pub policy_version: Option<String>,
    /// Whatever else, by names beginning with `x-`; only noted.
    pub notes: Vec<(String, String)>,
}

impl Scenario {
    /// Takes in a header.
    pub(super) fn header(&mut self, name: Word<'_>, value: Word<'_>) -> Result<(), Located> {
        let text = value.text;
        if text.is_empty() {
            return Err(name.wrong(ErrorKind::EmptyHeader(name.text.to_owned())));
        }
        let record = &mut self.record;
        match name.text {
            "client" => self.client = address(value)?,
            "local" => self.local = address(value)?,
            "server" => self.server = server_role(value)?,
            "policy" if text.starts_with('{') => {
                self.policy = Some(Policy::Inline(text.to_owned()));
            }
            "policy" => self.policy = Some(Policy::File(PathBuf::from(text))),
            "upstream" => record.upstream = Some(address(value)?),
            "listener" => record.listener = Some(text.to_owned()),
            "started" => record.started = Some(moment(value)?),
            "policy-version" => record.policy_version = Some(text.to_owned()),
            note if note.starts_with("x-") => {
                record.notes.push((note.to_owned(), text.to_owned()));
            }
            _ => return Err(name.wrong(ErrorKind::UnknownHeader(name.text.to_owned()))),
        }
        Ok(())
    }

    /// The headers as a scenario writes them, those that say what is usual left out.
    pub(super) fn headers(&self) -> Vec<(&str, String)> {
        let record = &self.record;
        let usual = Self::default();
        let mut headers = Vec::new();
        let mut add =
            |name, value: Option<String>| headers.extend(value.map(|value| (name, value)));
        add("client", Some(self.client.to_string()));
        let elsewhere = self.local != usual.local;
        add("local", elsewhere.then(|| self.local.to_string()));
        add(
            "upstream",
            record.upstream.map(|address| address.to_string()),
        );
        add("listener", record.listener.clone());
        add("started", record.started.map(written_moment));
        add("policy-version", record.policy_version.clone());
        add("policy", self.policy.as_ref().map(Policy::text));
        add("server", self.server.text());
        let notes = record.notes.iter();
        headers.extend(notes.map(|(name, value)| (name.as_str(), value.clone())));
        headers
    }
}

impl Policy {
    fn text(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Inline(policy) => policy.clone(),
        }
    }
}

impl ServerRole {
    /// What the demo mail server knows, if it plays the server.
    pub(crate) fn mailboxes(&self) -> Option<Mailboxes> {
        let Self::Mta {
            domain,
            known,
            unknown,
        } = self
        else {
            return None;
        };
        let mailboxes = Mailboxes::new(domain, known);
        Some(match unknown {
            Some(reply) => mailboxes.unknown_reply(reply),
            None => mailboxes,
        })
    }

    /// What the header says; nothing for the usual role.
    fn text(&self) -> Option<String> {
        let Self::Mta {
            domain,
            known,
            unknown,
        } = self
        else {
            return None;
        };
        let mut text = format!("mta domain={domain} known=\"{}\"", known.join(","));
        if let Some(reply) = unknown {
            text += &format!(" unknown=\"{reply}\"");
        }
        Some(text)
    }
}

fn address(value: Word<'_>) -> Result<SocketAddr, Located> {
    let parsed = value.text.parse();
    parsed.map_err(|_| value.wrong(ErrorKind::BadAddress(value.text.to_owned())))
}

fn moment(value: Word<'_>) -> Result<Timestamp, Located> {
    let parsed = humantime::parse_rfc3339(value.text).ok();
    let since_epoch = parsed.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    since_epoch
        .map(Timestamp::from_unix)
        .ok_or_else(|| value.wrong(ErrorKind::BadMoment(value.text.to_owned())))
}

fn written_moment(at: Timestamp) -> String {
    let since_epoch = Duration::from_nanos(at.as_unix_nanos());
    let text = humantime::format_rfc3339_nanos(SystemTime::UNIX_EPOCH + since_epoch).to_string();
    // Milliseconds, and more where there is more.
    let (millis, more) = text.split_at_checked(23).unwrap_or((&text, ""));
    format!("{millis}{}Z", more.trim_end_matches(['0', 'Z']))
}

fn server_role(value: Word<'_>) -> Result<ServerRole, Located> {
    let bad = || value.wrong(ErrorKind::BadServer(value.text.to_owned()));
    let (role, settings) = value.split();
    let mut rest = match (role.text, settings.text.trim()) {
        ("script", "") => return Ok(ServerRole::Script),
        ("mta", settings) => settings,
        _ => return Err(bad()),
    };
    let mut domain = "example.test".to_owned();
    let (mut known, mut unknown) = (Vec::new(), None);
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or_else(bad)?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or_else(bad)?,
            None => after.split_once(' ').unwrap_or((after, "")),
        };
        match name {
            "domain" => value.clone_into(&mut domain),
            "known" => known = value.split(',').map(str::to_owned).collect(),
            "unknown" => unknown = Some(value.to_owned()),
            _ => return Err(bad()),
        }
        rest = after.trim_start();
    }
    Ok(ServerRole::Mta {
        domain,
        known,
        unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_they_are_read() {
        let word = |text| Word { at: 0, text };
        for text in [
            "2026-01-31T23:59:59.999Z",
            "1970-01-01T00:00:00.000Z",
            "2026-11-26T11:13:20.123456Z",
        ] {
            assert_eq!(written_moment(moment(word(text)).unwrap()), text);
        }
        let whole = moment(word("2026-01-31T23:59:59Z")).unwrap();
        assert_eq!(written_moment(whole), "2026-01-31T23:59:59.000Z");
        for bad in ["yesterday", "2026-01-31", "1969-12-31T23:59:59Z"] {
            assert!(moment(word(bad)).is_err(), "{bad}");
        }
    }
}
