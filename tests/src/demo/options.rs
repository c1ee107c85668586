//! How large the attack is.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::launch::Beside;

/// Plays a dictionary attack against a mail server, without and with the guard.
#[derive(Debug, Clone, Parser)]
#[command(name = "portcullis-demo", version)]
pub struct Options {
    /// Bots, each with its own address.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=60_000))]
    pub bots: u16,
    /// Sessions of each bot.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub sessions: u32,
    /// Names each session tries.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(5..=100_000))]
    pub names: u32,
    /// Messages of honest senders, delivered meanwhile.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub honest: u32,
    /// The class of the server's reply to a name it does not know.
    #[arg(long, value_enum, default_value_t = UnknownReply::Temporary)]
    pub reply: UnknownReply,
    /// Sessions of all bots that run at once.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub at_once: u32,
    /// Where the guard's access log goes, with a transcript of every session.
    #[arg(long, value_name = "FILE")]
    pub transcripts: Option<PathBuf>,
    /// Envoy's worker threads.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,
    /// With the guard, bots and senders come under TLS, by STARTTLS.
    #[arg(long)]
    pub starttls: bool,
    /// DNS blacklists that the guard asks: off, on (examples of our own), or host:port of a
    /// resolver that has them.
    #[arg(long, default_value = "off")]
    pub dnsbl: Beside,
    /// Where to write what Envoy exports for Prometheus when all is over.
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
}

/// What the mail server says of a name it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UnknownReply {
    /// `451 No such user`: the bot may try again for ever.
    #[value(name = "451")]
    Temporary,
    /// `550 5.1.1 No such user`.
    #[value(name = "550")]
    Permanent,
}

impl UnknownReply {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Temporary => "451 No such user",
            Self::Permanent => "550 5.1.1 No such user",
        }
    }
}

impl Options {
    /// How many names are guessed if nobody cuts the bots.
    pub(super) fn guesses(&self) -> u64 {
        u64::from(self.bots) * u64::from(self.sessions) * u64::from(self.names)
    }
}
