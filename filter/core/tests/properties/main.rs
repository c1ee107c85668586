//! Properties over random dialogues and random segmentation.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod dialogue;
mod relay;
mod secrets;
mod tls;

use dialogue::{attack, honest};
use portcullis_core::policy::{Policy, Rule};
use portcullis_core::session::{Transport, Voice};
use proptest::prelude::*;
use relay::{Relay, Server};
use std::rc::Rc;
use tls::Gate;

fn policy(json: &str) -> Rc<Policy> {
    Rc::new(Policy::read(json.as_bytes()).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// An honest dialogue passes byte for byte in both directions, whatever its segments.
    #[test]
    fn honest_dialogues_pass_byte_exact(
        client in honest(),
        cuts in prop::collection::vec(1usize..40, 1..20),
        pipelined in any::<bool>(),
    ) {
        let bare = Server::dialogue(&client);
        let mut relay = Relay::new(policy("{}"), &cuts);
        relay.run(&client, pipelined);
        prop_assert_eq!(text(&relay.server.read), text(&client.concat()));
        prop_assert_eq!(text(&relay.client_read), text(&bare));
        prop_assert_eq!(relay.closed, None);
        prop_assert!(relay.server.in_step());
    }

    /// A client that is found listed at any moment has its message finished and its replies in
    /// order; then comes the last word, and the server has read one NOOP and nothing behind it.
    #[test]
    fn being_found_listed_ends_a_dialogue_between_commands(
        client in honest(),
        cuts in prop::collection::vec(1usize..60, 1..20),
        pipelined in any::<bool>(),
        found_after in 0usize..60,
    ) {
        let bare = Server::dialogue(&client);
        let mut relay = Relay::new(policy("{}"), &cuts);
        relay.found_listed_after = Some(found_after);
        relay.run(&client, pipelined);
        prop_assert!(relay.server.in_step());
        let (said, read) = (client.concat(), text(&relay.client_read));
        if relay.closed.is_none() {
            prop_assert!(found_after > 0, "the first command was still to come");
            prop_assert_eq!(text(&relay.server.read), text(&said));
            prop_assert_eq!(&read, &text(&bare));
            return Ok(());
        }
        prop_assert_eq!(relay.closed, Some(Rule::Dnsbl));
        let passed = relay.server.read.strip_suffix(b"NOOP\r\n");
        prop_assert!(passed.is_some_and(|passed| said.starts_with(passed)));
        let word = read.rfind("554 5.7.1 ").unwrap();
        prop_assert!(text(&bare).starts_with(&read[..word]), "{}", read);
        prop_assert_eq!(read[word..].find("\r\n"), Some(read.len() - word - 2));
    }

    /// Whatever an attacker pipelines, the server is asked about no more unknown names than the
    /// budget, replies keep their order, and the last word is the last.
    #[test]
    fn attacks_cost_the_server_the_budget_at_most(
        client in attack(),
        cuts in prop::collection::vec(1usize..400, 1..8),
        budget in 1u32..8,
    ) {
        let json = format!(r#"{{"rcpt": {{"max_consecutive": {budget}, "max_total": {budget}}}}}"#);
        let mut relay = Relay::new(policy(&json), &cuts);
        relay.run(&client, true);
        prop_assert!(relay.server.unknown_asked <= budget as usize);
        let read = text(&relay.client_read);
        if relay.closed.is_some() {
            let last = read.trim_end().rsplit("\r\n").next().unwrap_or_default();
            prop_assert!(last.starts_with("421 "), "{}", read);
        }
        prop_assert!(relay.replies_in_order(), "{}", read);
    }

    /// With the fallback, replies the guard makes up stand where the server's would.
    #[test]
    fn spliced_replies_keep_the_order(
        client in attack(),
        cuts in prop::collection::vec(1usize..400, 1..8),
    ) {
        let json = r#"{"rcpt": {"metering": "reply-452"}, "reset": {"mode": "off"}}"#;
        let mut relay = Relay::new(policy(json), &cuts);
        relay.run(&client, true);
        prop_assert!(relay.server.unknown_asked <= 5);
        prop_assert!(relay.replies_in_order(), "{}", text(&relay.client_read));
    }

    /// Observing changes nothing, not even for an attack.
    #[test]
    fn observing_is_invisible(
        client in attack(),
        cuts in prop::collection::vec(1usize..40, 1..20),
    ) {
        let bare = Server::dialogue(&client);
        let mut relay = Relay::new(policy(r#"{"mode": "observe"}"#), &cuts);
        relay.run(&client, true);
        prop_assert_eq!(text(&relay.server.read), text(&client.concat()));
        prop_assert_eq!(text(&relay.client_read), text(&bare));
    }

    /// Whatever stands behind STARTTLS, however it is cut and whenever the server answers: nobody
    /// has a byte of it once TLS starts, and the server has read none.
    #[test]
    fn nothing_said_before_tls_is_heard_after_it(
        before in 0usize..4,
        injected in bytes(),
        cuts in prop::collection::vec((1usize..30, 0usize..3), 1..30),
        voice in prop::sample::select(vec![Voice::Server, Voice::Host, Voice::HostAgain]),
        again in any::<bool>(),
    ) {
        let said = format!("EHLO a.test\r\n{}", "RSET\r\n".repeat(before));
        let mut client = [said.as_bytes(), b"STARTTLS\r\n", &injected].concat();
        let mut gate = Gate::open(policy("{}"), voice);
        for (cut, replies) in cuts.into_iter().cycle() {
            if gate.transport == Transport::StartTls {
                // What has not been sent yet is for TLS to see.
                break;
            }
            let sent: Vec<u8> = client.drain(..cut.min(client.len())).collect();
            gate.client(&sent);
            for _ in 0..replies {
                gate.answer();
            }
            if client.is_empty() {
                while gate.answer() {}
            }
        }
        let said = match gate.told_by {
            Some(Voice::Host) => said,
            _ => said + "NOOP\r\n",
        };
        prop_assert_eq!(text(&gate.server_read), said.clone());
        prop_assert_eq!(gate.kept(), 0);
        let read = text(&gate.client_read);
        prop_assert!(read.ends_with("\n220 2.0.0 Ready to start TLS\r\n"), "{}", read);
        if again {
            // Of the same EHLO the server hears only if it may not stand where it stood.
            gate.client(b"EHLO a.test\r\n");
            let is_known = voice == Voice::HostAgain && before == 0;
            let heard = if is_known { "" } else { "EHLO a.test\r\n" };
            prop_assert_eq!(text(&gate.server_read), said + heard);
            prop_assert_eq!(text(&gate.client_read).ends_with("\n250 mx\r\n"), is_known);
            return Ok(());
        }
        gate.client(b"MAIL FROM:<>\r\nEHLO b.test\r\n");
        prop_assert_eq!(
            text(&gate.server_read),
            said + "NOOP\r\nEHLO b.test\r\n"
        );
    }

    /// A password that a client says by AUTH, cut and pipelined as it may be, before a server that
    /// may repeat it, stands in no note, record or transcript: not as it is, and not in base64.
    #[test]
    fn no_password_is_written_down(
        mechanism in secrets::mechanism(),
        attitude in secrets::attitude(),
        password in "[A-Za-z0-9#+/!]{9,40}",
        cuts in prop::collection::vec(1usize..40, 1..20),
        pipelined in any::<bool>(),
    ) {
        let written = secrets::written(mechanism, attitude, &password, &cuts, pipelined);
        for trace in secrets::traces(mechanism, &password) {
            prop_assert!(!written.contains(&trace), "{} in {}", trace, written);
        }
    }

    /// Any bytes in any order: no panic, bounded memory, and nothing invented towards the server.
    #[test]
    fn garbage_is_survived(
        turns in prop::collection::vec((any::<bool>(), bytes()), 1..60),
    ) {
        let (mut session, _) = portcullis_core::session::Session::new(policy("{}"), None);
        let mut left = Vec::new();
        for (from_client, bytes) in turns {
            if from_client {
                left.extend_from_slice(&bytes);
                let effects = session.client_bytes(&left);
                let kept = effects.left;
                left = left.split_off(left.len() - kept);
            } else {
                session.server_bytes(&bytes);
            }
            prop_assert!(session.held() <= 65536);
        }
        session.client_end(&left);
        session.server_end();
    }
}

/// Random octets, and pieces that mean something.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..50),
        prop::sample::select(vec![
            "EHLO a\r\n",
            "MAIL FROM:<>\r\n",
            "RCPT TO:<a@b>\r\n",
            "DATA\r\n",
            "\r\n.\r\n",
            ".",
            "\r",
            "\n",
            "BDAT 10 LAST\r\n",
            "RSET\r\n",
            "AUTH PLAIN\r\n",
            "STARTTLS\r\n",
            "QUIT\r\n",
            "220 x\r\n",
            "250 x\r\n",
            "250-CHUNKING\r\n",
            "354 x\r\n",
            "334 x\r\n",
            "235 x\r\n",
            "550 x\r\n",
            "421 x\r\n",
            "451 No such user\r\n",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
