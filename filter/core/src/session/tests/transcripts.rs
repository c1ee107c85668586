//! What is written down of a session, and what is not.

use super::{Talk, UNKNOWN, guesses};
use crate::session::{Frame, Shelf, Shortened, Transcribed};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const ALL: &str = r#"{"version": "t", "transcripts": {"sessions": "all"}}"#;
const FRAME: Frame = Frame {
    client: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)), 40_001),
    worker: 7,
    began: Duration::ZERO,
};

/// The scenario that the JSON string holds.
fn text(transcribed: Transcribed) -> String {
    serde_json::from_str(&transcribed.json.unwrap()).unwrap()
}

fn begun(policy: &str, shelf: &Rc<Shelf>) -> Talk {
    let mut talk = Talk::with(policy);
    talk.session.transcribe(shelf, &FRAME, 0);
    talk
}

fn shelf() -> Rc<Shelf> {
    Rc::new(Shelf::new(1 << 20))
}

impl Talk {
    fn at(&mut self, millis: u64) -> &mut Self {
        self.session.tell_time(Duration::from_millis(millis));
        self
    }

    fn transcribed(&mut self) -> Transcribed {
        self.session.take_transcript().unwrap()
    }

    /// The lines behind the headers.
    fn told(&mut self) -> String {
        let text = text(self.transcribed());
        let (headers, told) = text.split_once("\n\n").unwrap();
        assert!(
            headers.starts_with("client: 203.0.113.7:40001\n"),
            "{headers}"
        );
        told.to_owned()
    }
}

#[test]
fn both_sides_are_told_with_their_times_and_segments() {
    let mut talk = begun(ALL, &shelf());
    talk.at(5).server("220 mx\r\n");
    talk.at(10).client("EHLO a\r");
    talk.at(11).client("\nMAIL FROM:<>\r\nRCPT TO:<x@y> \r\n");
    talk.at(12).server("250-mx\r\n250 DSN\r\n");
    talk.at(12).server("250 ok\r\n451 No such");
    talk.at(13).server(" user\r\n");
    talk.at(20).client("DATA\r\n");
    talk.at(21).server("354 go\r\n");
    talk.at(22).client("Subject: secret\r\n\r\nhi\r");
    talk.at(23).client("\n.\r\nQUIT\r\n");
    talk.at(24).server("250 queued\r\n221 bye\r\n");
    talk.at(25).session.side_ended(true);
    let told = talk.told();
    for line in [
        "0.005000 S> 220 mx\n",
        "0.010000 C> EHLO a\\r\\\n0.011000 C> \\nMAIL FROM:<>\nC+ RCPT TO:<x@y>\\x20\n",
        "0.012000 S> 250-mx\nS+ 250 DSN\n",
        "0.012000 S> 250 ok\n0.013000 S> 451 No such user\n",
        "0.022000 C> \\{21 body}\\r\\\n0.023000 C> \\n.\nC+ QUIT\n",
        "0.020000 C> DATA\n0.021000 S> 354 go\n",
        "S> 250 queued\n0.024000 S> 221 bye\n0.025000 C|\n",
    ] {
        assert!(told.contains(line), "{line:?} in {told}");
    }
    assert!(!told.contains("secret"), "{told}");
}

/// What the client says, what the server answers; what must be told of it.
fn auth(exchange: &[(&str, &str)]) -> String {
    let mut talk = begun(ALL, &shelf());
    talk.server("220 mx\r\n");
    talk.client("EHLO a\r\n");
    talk.server("250 AUTH PLAIN LOGIN\r\n");
    for (client, server) in exchange {
        talk.client(client);
        talk.server(server);
    }
    let told = talk.told().replace("0.000000 ", "");
    let (_, told) = told.split_once("250 AUTH PLAIN LOGIN\n").unwrap();
    told.to_owned()
}

#[test]
fn of_auth_the_mechanism_and_the_sizes_are_told() {
    for (exchange, expected) in [
        (
            &[("AUTH PLAIN AGEAYg==\r\n", "235 2.7.0 hello a\r\n")][..],
            "C> AUTH PLAIN \\{8 secret}\nS> 235 2.7.0 \\{7 text}\n",
        ),
        (
            &[
                ("AUTH LOGIN\r\n", "334 VXNlcm5hbWU6\r\n"),
                ("YQ==\r\n", "334 UGFzc3dvcmQ6\r\n"),
                ("Yg", ""),
                ("==\r\n", "535 5.7.8 Yg== is wrong\r\n"),
                ("NOOP\r\n", "250 Yg==\r\n"),
            ],
            "C> AUTH LOGIN\nS> 334 VXNlcm5hbWU6\nC> \\{4 secret}\nS> 334 UGFzc3dvcmQ6\n\
             C> \\{2 secret}\\\nC> \\{2 secret}\nS> 535 5.7.8 \\{13 text}\nC> NOOP\n\
             S> 250 \\{4 text}\n",
        ),
        // A challenge that comes after a secret may hold it.
        (
            &[
                ("AUTH XOAUTH2 dXNlcg==\r\n", "334 dXNlcg==\r\n"),
                ("*\r\n", "501 no\r\n"),
            ],
            "C> AUTH XOAUTH2 \\{8 secret}\nS> 334 \\{8 text}\nC> \\{1 secret}\nS> 501 \\{2 text}\n",
        ),
        // Not waited for, and not known to the server: nobody can tell whether it is a command.
        (
            &[
                ("AUTH PLAIN\r\nAGEAYg==\r\n", "502 AUTH?\r\n"),
                ("", "500 AGEAYg==?\r\n"),
                ("auht plain AGEAYg==\r\nRSET\r\n", "500 what?\r\n"),
            ],
            "C> AUTH PLAIN\nC+ \\{8 secret}\nS> 502 \\{5 text}\nS> 500 \\{9 text}\n\
             C> \\{19 secret}\nC+ RSET\nS> 500 \\{5 text}\n",
        ),
    ] {
        let told = auth(exchange);
        assert!(told.starts_with(expected), "{told}\nfor {expected}");
    }
}

#[test]
fn an_over_long_auth_line_is_a_secret_to_its_end() {
    let mut talk = begun(ALL, &shelf());
    talk.server("220 mx\r\n");
    talk.client(format!("AUTH PLAIN {}", "c2Vj".repeat(2000)));
    talk.client("cmV0\r\n");
    talk.server("500 Line too long: c2VjcmV0\r\n");
    let told = talk.told();
    assert!(told.contains("C> AUTH PLAIN \\{8000 secret}\\\n"), "{told}");
    assert!(
        told.contains("C> \\{4 secret}\n0.000000 S> 500 \\{23 text}\n"),
        "{told}"
    );
}

#[test]
fn what_is_not_read_is_told_by_its_size() {
    let mut talk = begun(ALL, &shelf());
    talk.server("220 mx\r\n");
    talk.client("STARTTLS\r\n");
    talk.server("220 go\r\n");
    talk.client([0x16, 3, 1, 0]);
    talk.session.passed(100, 0);
    talk.session.passed(0, 50);
    let told = talk.told().replace("0.000000 ", "");
    assert!(
        told.ends_with("S> 220 go\nC> \\{104 text}\\\nS> \\{50 text}\\\n"),
        "{told}"
    );
}

#[test]
fn the_verdict_and_the_last_word_are_told_and_what_was_never_read() {
    let mut talk = begun(ALL, &shelf());
    talk.server("220 mx\r\n");
    talk.client("EHLO a\r\n");
    talk.server("250 mx\r\n");
    talk.client(format!(
        "MAIL FROM:<>\r\n{}AUTH PLAIN c2Vj\r\n",
        guesses(0..7)
    ));
    talk.server("250 ok\r\n");
    talk.server(UNKNOWN.repeat(5));
    let text = text(talk.transcribed());
    assert!(
        text.contains("x-verdict: close rcpt.max_consecutive\n"),
        "{text}"
    );
    assert!(text.contains("policy-version: t\n"), "{text}");
    assert!(text.contains("# 0.000000 C< 421 4.7.0 Too many"), "{text}");
    assert!(
        text.contains("C+ RCPT TO:<guess6@example.test>\nC+ AUTH PLAIN \\{4 secret}\n"),
        "{text}"
    );
}

#[test]
fn only_chosen_sessions_are_told() {
    let policy = |rest: &str| format!(r#"{{"transcripts": {{"sessions": "chosen", {rest}}}}}"#);
    for (choice, rejections, told) in [
        (r#""after_rejections": 2"#, 1, false),
        (r#""after_rejections": 2"#, 2, true),
        (r#""after_rejections": null"#, 4, false),
        (r#""networks": ["203.0.113.0/24"]"#, 0, true),
        (r#""networks": ["198.51.100.0/24"]"#, 0, false),
        (r#""percent": 100"#, 0, true),
        (r#""percent": 0"#, 0, false),
    ] {
        let shelf = shelf();
        let mut talk = begun(&policy(choice), &shelf);
        talk.server("220 mx\r\n");
        for _ in 0..rejections {
            talk.client(guesses(0..1));
            talk.server(UNKNOWN);
        }
        let taken = talk.session.take_transcript();
        assert_eq!(taken.is_some(), told, "{choice} {rejections}");
        assert_eq!(shelf.left(), 1 << 20, "{choice}: all is given back");
    }
    let mut off = begun("{}", &shelf());
    assert!(!off.session.is_transcribed());
    assert_eq!(off.session.take_transcript(), None);
}

#[test]
fn beyond_its_bound_a_session_is_only_counted() {
    let policy = r#"{"transcripts": {"sessions": "all", "max_bytes": 1024},
        "rcpt": {"max_consecutive": 100, "max_total": 100}}"#;
    let shelf = shelf();
    let mut talk = begun(policy, &shelf);
    talk.server("220 mx\r\n");
    let said = guesses(0..99);
    talk.client(&said);
    talk.server(UNKNOWN.repeat(99));
    talk.client(guesses(0..1));
    talk.server(UNKNOWN);
    assert!((1 << 20) - shelf.left() <= 2048 + 512, "{}", shelf.left());
    let transcribed = talk.transcribed();
    assert_eq!(transcribed.shortened, Some(Shortened::Session));
    let text = text(transcribed);
    assert!(text.contains("\nx-shortened: "), "{text}");
    assert!(text.contains(" by transcripts.max_bytes\n"), "{text}");
    assert!(
        text.trim_end()
            .ends_with("421 4.7.0 Too many unknown recipients (100), closing connection"),
        "{text}"
    );
    assert!(text.len() < 5 * 2048 + 512, "{}", text.len());
}

#[test]
fn beyond_the_workers_bound_transcripts_are_shortened_or_dropped() {
    let shelf = Rc::new(Shelf::new(512));
    let mut first = begun(ALL, &shelf);
    first.server("220 mx\r\n");
    first.client(guesses(0..30));
    let mut second = begun(ALL, &shelf);
    second.server("220 mx\r\n");
    let first = first.transcribed();
    assert_eq!(first.shortened, Some(Shortened::Worker));
    let text = text(first);
    assert!(
        text.contains(" by transcripts.max_worker_bytes\n"),
        "{text}"
    );
    second.client("NOOP\r\n");
    let second = second.transcribed();
    assert_eq!(
        (second.json, second.shortened),
        (None, Some(Shortened::Dropped))
    );
    assert_eq!(shelf.left(), 512);
}
