//! The honest senders, with the habits of real ones: each message counts as delivered once the
//! server has taken it over with its 250.

use std::{fmt::Write as _, io, net::Ipv4Addr, sync::Arc};

use indicatif::ProgressBar;
use tokio::{sync::Semaphore, task::JoinSet};

use super::wire::{Server, Wire};

/// Honest sessions that run at once.
const AT_ONCE: usize = 8;

/// Messages that a [`Habit::Several`] sends over one connection.
const SEVERAL: u32 = 4;

/// Recipients of a [`Habit::LongList`].
const LONG_LIST: usize = 50;

const BODY: &str = "Subject: minutes\r\n\r\nThe minutes of Tuesday's meeting.\r\n..with a dot\r\n";

/// How a sender behaves on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// One message, one command at a time.
    Single,
    /// Several messages, RSET between them.
    Several(u32),
    /// One message, one of its recipients mistyped.
    OneWrong,
    /// One message, its envelope in one write (RFC 2920).
    Pipelined,
    /// One message by BDAT (RFC 3030).
    Chunked,
    /// One message to fifty recipients, in one write.
    LongList,
}

/// Delivers `messages` and returns how many the server took, with the first few failures.
pub(super) async fn deliver(
    messages: u32,
    server: &Server,
    progress: &ProgressBar,
) -> io::Result<(u32, Vec<String>)> {
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for (sender, habit) in (0..).zip(plan(messages)) {
        let at_once = Arc::clone(&at_once);
        let server = server.clone();
        running.spawn(async move {
            let _turn = at_once.acquire_owned().await.map_err(io::Error::other)?;
            io::Result::Ok(
                Sender {
                    habit,
                    delivered: 0,
                }
                .run(sender, &server)
                .await,
            )
        });
    }
    let mut delivered = 0;
    let mut failures = Vec::new();
    while let Some(finished) = running.join_next().await {
        let (sender, result) = finished.map_err(io::Error::other)??;
        delivered += sender.delivered;
        progress.set_message(format!("honest {delivered}/{messages}"));
        if let Err(error) = result {
            failures.push(format!("{:?}: {error}", sender.habit));
        }
    }
    Ok((delivered, failures))
}

/// Habits in turn until their messages add up.
fn plan(messages: u32) -> Vec<Habit> {
    let turns = [
        Habit::Single,
        Habit::Several(SEVERAL),
        Habit::OneWrong,
        Habit::Pipelined,
        Habit::Chunked,
        Habit::LongList,
    ];
    let mut left = messages;
    let mut habits = Vec::new();
    for habit in turns.into_iter().cycle() {
        let habit = match habit {
            Habit::Several(many) => Habit::Several(many.min(left)),
            single => single,
        };
        if left == 0 {
            break;
        }
        left -= if let Habit::Several(many) = habit {
            many
        } else {
            1
        };
        habits.push(habit);
    }
    habits
}

#[derive(Debug)]
struct Sender {
    habit: Habit,
    delivered: u32,
}

impl Sender {
    async fn run(mut self, number: u16, server: &Server) -> (Self, io::Result<()>) {
        let result = self.converse(number, server).await;
        (self, result)
    }

    async fn converse(&mut self, number: u16, server: &Server) -> io::Result<()> {
        let wire = Wire::open(address(number), server.address).await?;
        let mut wire = wire.greet("mail.example.com", server.tls.as_ref()).await?;
        match self.habit {
            Habit::Single => self.step_by_step(&mut wire, &[("alice", 250)]).await?,
            Habit::Several(messages) => {
                for _ in 0..messages {
                    self.step_by_step(&mut wire, &[("bob", 250)]).await?;
                    wire.expect("RSET", 250).await?;
                }
            }
            Habit::OneWrong => self.one_wrong(&mut wire).await?,
            Habit::Pipelined => {
                self.at_once(&mut wire, &["alice".into(), "bob".into()])
                    .await?
            }
            Habit::Chunked => self.chunked(&mut wire).await?,
            Habit::LongList => {
                let list: Vec<String> = (0..LONG_LIST).map(|user| format!("user{user}")).collect();
                self.at_once(&mut wire, &list).await?;
            }
        }
        wire.expect("QUIT", 221).await
    }

    async fn step_by_step(&mut self, wire: &mut Wire, to: &[(&str, u16)]) -> io::Result<()> {
        wire.expect("MAIL FROM:<carol@example.com>", 250).await?;
        for (name, code) in to {
            wire.expect(&rcpt(name), *code).await?;
        }
        wire.expect("DATA", 354).await?;
        self.body(wire).await
    }

    /// A mistyped name among good ones; the others still get the message.
    async fn one_wrong(&mut self, wire: &mut Wire) -> io::Result<()> {
        wire.expect("MAIL FROM:<carol@example.com>", 250).await?;
        wire.expect(&rcpt("alice"), 250).await?;
        wire.send(format!("{}\r\n", rcpt("alcie")).as_bytes())
            .await?;
        match wire.reply().await? {
            Some(450 | 451 | 550) => {}
            other => {
                return Err(io::Error::other(format!(
                    "mistyped recipient: got {other:?}"
                )));
            }
        }
        wire.expect(&rcpt("bob"), 250).await?;
        wire.expect("DATA", 354).await?;
        self.body(wire).await
    }

    /// The whole envelope in one write, DATA included.
    async fn at_once(&mut self, wire: &mut Wire, to: &[String]) -> io::Result<()> {
        let mut envelope = String::from("MAIL FROM:<carol@example.com>\r\n");
        for name in to {
            // Writing to a String cannot fail.
            let _ = write!(envelope, "{}\r\n", rcpt(name));
        }
        envelope.push_str("DATA\r\n");
        wire.send(envelope.as_bytes()).await?;
        for _ in 0..=to.len() {
            wire.expect_reply("MAIL or RCPT", 250).await?;
        }
        wire.expect_reply("DATA", 354).await?;
        self.body(wire).await
    }

    async fn body(&mut self, wire: &mut Wire) -> io::Result<()> {
        wire.send(format!("{BODY}.\r\n").as_bytes()).await?;
        wire.expect_reply("the end of DATA", 250).await?;
        self.delivered += 1;
        Ok(())
    }

    async fn chunked(&mut self, wire: &mut Wire) -> io::Result<()> {
        wire.expect("MAIL FROM:<carol@example.com>", 250).await?;
        wire.expect(&rcpt("alice"), 250).await?;
        wire.send(format!("BDAT {} LAST\r\n{BODY}", BODY.len()).as_bytes())
            .await?;
        wire.expect_reply("BDAT", 250).await?;
        self.delivered += 1;
        Ok(())
    }
}

fn rcpt(name: &str) -> String {
    format!("RCPT TO:<{name}@example.test>")
}

/// The sender's own address: 127.21.0.1 and on.
fn address(sender: u16) -> Ipv4Addr {
    let [high, low] = (sender + 1).to_be_bytes();
    Ipv4Addr::new(127, 21, high, low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_delivers_as_many_messages_as_asked() {
        for messages in [1, 2, 3, 9, 100, 401] {
            let planned: u32 = plan(messages)
                .into_iter()
                .map(|habit| {
                    if let Habit::Several(many) = habit {
                        many
                    } else {
                        1
                    }
                })
                .sum();
            assert_eq!(planned, messages);
        }
    }
}
