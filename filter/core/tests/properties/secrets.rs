//! Passwords, however they are sent and cut: none is written down.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_core::policy::Policy;
use portcullis_core::session::{Frame, Session, Shelf};
use proptest::prelude::*;
use std::rc::Rc;
use std::time::Duration;

/// How a client authenticates, and whether it waits for the server as it should.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mechanism {
    PlainAtOnce,
    Plain,
    Login,
    LoginAtOnce,
    CramMd5,
    XOAuth2,
}

/// What the server thinks of AUTH.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Attitude {
    Takes,
    Refuses,
    /// It does not know the command, and says what it did not understand.
    Echoes,
}

pub(crate) fn mechanism() -> impl Strategy<Value = Mechanism> {
    use Mechanism::{CramMd5, Login, LoginAtOnce, Plain, PlainAtOnce, XOAuth2};
    prop::sample::select(vec![
        PlainAtOnce,
        Plain,
        Login,
        LoginAtOnce,
        CramMd5,
        XOAuth2,
    ])
}

pub(crate) fn attitude() -> impl Strategy<Value = Attitude> {
    use Attitude::{Echoes, Refuses, Takes};
    prop::sample::select(vec![Takes, Refuses, Echoes])
}

impl Mechanism {
    /// The lines of the client, the first of them the command.
    fn lines(self, password: &str) -> Vec<String> {
        let coded = |text: String| STANDARD.encode(text);
        let plain = coded(format!("\0user\0{password}"));
        match self {
            Self::PlainAtOnce => vec![format!("AUTH PLAIN {plain}")],
            Self::Plain => vec!["AUTH PLAIN".to_owned(), plain],
            Self::Login => vec![
                "AUTH LOGIN".to_owned(),
                coded("user".to_owned()),
                coded(password.to_owned()),
            ],
            Self::LoginAtOnce => vec![
                format!("auth login {}", coded("user".to_owned())),
                coded(password.to_owned()),
            ],
            // A digest in real life; whoever sends the password itself is covered too.
            Self::CramMd5 => vec![
                "AUTH CRAM-MD5".to_owned(),
                coded(format!("user {password}")),
            ],
            Self::XOAuth2 => vec![format!(
                "AUTH XOAUTH2 {}",
                coded(format!("user=user\x01auth=Bearer {password}\x01\x01"))
            )],
        }
    }
}

/// What to look for: the password, its base64 at each alignment, and all lines as they were sent.
pub(crate) fn traces(mechanism: Mechanism, password: &str) -> Vec<String> {
    let mut traces = vec![password.to_owned()];
    for shift in 0..3 {
        let padded = format!("{}{password}", "\0".repeat(shift));
        let coded = STANDARD.encode(padded);
        // What only the password decides: whole groups of it.
        let from = (shift * 8).div_ceil(6);
        let to = (shift + password.len()) * 8 / 6;
        traces.extend(coded.get(from..to).map(str::to_owned));
    }
    let lines = mechanism.lines(password);
    let told = lines.iter().filter_map(|line| line.split(' ').next_back());
    traces.extend(told.filter(|word| word.len() > 11).map(str::to_owned));
    traces
}

/// Everything that is written down of a session in which a client says its password, and then
/// something else.
pub(crate) fn written(
    mechanism: Mechanism,
    attitude: Attitude,
    password: &str,
    cuts: &[usize],
    pipelined: bool,
) -> String {
    let policy = r#"{"transcripts": {"sessions": "all", "max_bytes": 65536}}"#;
    let policy = Rc::new(Policy::read(policy.as_bytes()).unwrap());
    let client = "203.0.113.7".parse().ok();
    let (mut session, mut notes) = Session::new(policy, client);
    let mut logged = format!("{:?}", notes.take());
    let frame = Frame {
        client: "203.0.113.7:40001".parse().unwrap(),
        worker: 1,
        began: Duration::ZERO,
    };
    session.transcribe(&Rc::new(Shelf::new(1 << 20)), &frame, 0);
    let mut relay = Relay {
        session,
        host: Vec::new(),
        to_server: Vec::new(),
        attitude,
        asked: 0,
        logged: String::new(),
    };
    relay.server(b"220 mx\r\n");
    let mut turns = vec!["EHLO a.test".to_owned()];
    turns.extend(mechanism.lines(password));
    turns.extend(["MAIL FROM:<a@b.test>", "RSET", "QUIT"].map(str::to_owned));
    let mut cuts = cuts.iter().cycle();
    let said: Vec<String> = turns.iter().map(|line| format!("{line}\r\n")).collect();
    let said = match pipelined {
        true => vec![said.concat()],
        false => said,
    };
    for turn in said {
        let mut rest = turn.as_bytes();
        while !rest.is_empty() {
            let cut = cuts.next().copied().unwrap_or(1).min(rest.len());
            let (segment, behind) = rest.split_at(cut);
            relay.client(segment);
            relay.serve();
            rest = behind;
        }
    }
    logged.push_str(&relay.logged);
    let transcribed = relay.session.take_transcript().unwrap();
    let record = serde_json::to_string(&relay.session.record()).unwrap();
    let text: String = serde_json::from_str(&transcribed.json.unwrap()).unwrap();
    assert!(text.contains("C> ") && text.contains("S> 220 mx"), "{text}");
    [logged, record, text].concat()
}

struct Relay {
    session: Session,
    host: Vec<u8>,
    to_server: Vec<u8>,
    attitude: Attitude,
    /// Lines of an AUTH exchange that are still asked for.
    asked: usize,
    logged: String,
}

impl Relay {
    fn client(&mut self, bytes: &[u8]) {
        self.host.extend_from_slice(bytes);
        let offered = std::mem::take(&mut self.host);
        let effects = self.session.client_bytes(&offered);
        self.to_server.extend_from_slice(&effects.to_server);
        self.logged.push_str(&format!("{:?}", effects.notes));
        self.host = offered[offered.len() - effects.left..].to_vec();
    }

    fn server(&mut self, bytes: &[u8]) {
        let effects = self.session.server_bytes(bytes);
        self.to_server.extend_from_slice(&effects.to_server);
        self.logged.push_str(&format!("{:?}", effects.notes));
        if !self.host.is_empty() {
            self.client(b"");
        }
    }

    fn serve(&mut self) {
        while let Some(end) = self.to_server.iter().position(|octet| *octet == b'\n') {
            let line: Vec<u8> = self.to_server.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let reply = self.answer(&line);
            self.server(reply.as_bytes());
        }
    }

    fn answer(&mut self, line: &str) -> String {
        let upper = line.to_ascii_uppercase();
        let words: Vec<&str> = upper.split(' ').collect();
        if self.asked > 0 {
            self.asked -= 1;
            return match (self.asked, self.attitude) {
                (0, Attitude::Refuses) => format!("535 5.7.8 not {line}\r\n"),
                (0, _) => format!("235 2.7.0 welcome {line}\r\n"),
                _ => "334 UGFzc3dvcmQ6\r\n".to_owned(),
            };
        }
        match (words.as_slice(), self.attitude) {
            (["AUTH", ..], Attitude::Echoes) => format!("502 5.5.1 {line}?\r\n"),
            (["AUTH", "LOGIN"], _) => self.ask(2, "VXNlcm5hbWU6"),
            (["AUTH", "LOGIN", _], _) => self.ask(1, "UGFzc3dvcmQ6"),
            (["AUTH", _], _) => self.ask(1, "PDEyMy40QG14Pg=="),
            (["AUTH", ..], Attitude::Takes) => format!("235 2.7.0 welcome {line}\r\n"),
            (["AUTH", ..], _) => format!("535-5.7.8 {line}\r\n535 5.7.8 no\r\n"),
            (["EHLO" | "MAIL" | "RSET" | "QUIT" | "NOOP", ..], _) => "250 ok\r\n".to_owned(),
            _ => format!("500-5.5.2 {line}\r\n500 what is {line}\r\n"),
        }
    }

    fn ask(&mut self, lines: usize, challenge: &str) -> String {
        self.asked = lines;
        format!("334 {challenge}\r\n")
    }
}
