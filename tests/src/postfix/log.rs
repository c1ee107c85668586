//! What Postfix says it did, which is what the tests measure.

use std::{fs, path::PathBuf};

use crate::{
    Error,
    deadline::{PATIENCE, Seen, wait_for},
};

/// Postfix's log file.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    forgotten: usize,
}

/// What one SMTP session asked of Postfix, from its `disconnect` line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionCounts {
    /// The client's address as Postfix saw it.
    pub client: String,
    /// Recipients it accepted.
    pub accepted: usize,
    /// Recipients it looked up, accepted or not.
    pub lookups: usize,
}

impl Log {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, forgotten: 0 }
    }

    /// Leaves the first sessions out of what is counted, once they are in the log.
    pub(super) fn forget_sessions(&mut self, count: usize) -> Result<(), Error> {
        self.wait_for_sessions(count)?;
        self.forgotten = self.all_sessions()?.len();
        Ok(())
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The whole log.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read.
    pub fn text(&self) -> Result<String, Error> {
        fs::read_to_string(&self.path).map_err(Error::file(&self.path))
    }

    /// The sessions that have ended.
    ///
    /// # Errors
    /// As [`Log::text`].
    pub fn sessions(&self) -> Result<Vec<SessionCounts>, Error> {
        Ok(self.all_sessions()?.split_off(self.forgotten))
    }

    /// Waits until at least `count` sessions have ended and returns them all.
    ///
    /// # Errors
    /// [`Error::Late`], or as [`Log::text`].
    pub fn wait_for_sessions(&self, count: usize) -> Result<Vec<SessionCounts>, Error> {
        wait_for(
            &format!("{count} sessions in Postfix's log"),
            PATIENCE,
            || {
                let sessions = self.sessions()?;
                let seen = sessions.len();
                Ok(if seen < count {
                    Seen::NotYet(format!("{seen}"))
                } else {
                    Seen::Done(sessions)
                })
            },
        )
    }

    /// Waits until Postfix has delivered at least `count` messages, and returns how many.
    ///
    /// # Errors
    /// [`Error::Late`], or as [`Log::text`].
    pub fn wait_for_messages(&self, count: usize) -> Result<usize, Error> {
        wait_for(
            &format!("{count} messages delivered by Postfix"),
            PATIENCE,
            || {
                let text = self.text()?;
                let seen = text
                    .lines()
                    .filter(|line| line.ends_with(": removed"))
                    .count();
                Ok(if seen < count {
                    Seen::NotYet(format!("{seen}"))
                } else {
                    Seen::Done(seen)
                })
            },
        )
    }

    fn all_sessions(&self) -> Result<Vec<SessionCounts>, Error> {
        Ok(self.text()?.lines().filter_map(session).collect())
    }
}

/// Reads `... disconnect from unknown[127.0.0.1] ehlo=1 mail=1 rcpt=0/5 quit=1 commands=3/8`:
/// accepted and, where they differ, all commands of each kind.
fn session(line: &str) -> Option<SessionCounts> {
    let (_, rest) = line.split_once(": disconnect from ")?;
    let (_, rest) = rest.split_once('[')?;
    let (client, counts) = rest.split_once(']')?;
    let rcpt = counts
        .split(' ')
        .find_map(|count| count.strip_prefix("rcpt="))
        .unwrap_or("0");
    let (accepted, lookups) = rcpt.split_once('/').unwrap_or((rcpt, rcpt));
    Some(SessionCounts {
        client: client.into(),
        accepted: accepted.parse().ok()?,
        lookups: lookups.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disconnect_line_tells_accepted_and_all() {
        let line = "Nov 23 20:00:00 mx postfix/smtpd[7]: disconnect from unknown[::1] ehlo=1 rcpt=2/7 commands=3/8";
        let counts = session(line).unwrap();
        assert_eq!(
            counts,
            SessionCounts {
                client: "::1".into(),
                accepted: 2,
                lookups: 7
            }
        );
    }

    #[test]
    fn one_number_means_all_were_accepted() {
        let line = "postfix/smtpd[7]: disconnect from unknown[127.0.0.1] mail=1 rcpt=3 commands=4";
        let counts = session(line).unwrap();
        assert_eq!((counts.accepted, counts.lookups), (3, 3));
    }

    #[test]
    fn other_lines_are_no_sessions() {
        assert_eq!(
            session("postfix/smtpd[7]: connect from unknown[127.0.0.1]"),
            None
        );
    }
}
