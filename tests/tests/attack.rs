//! The attack, cut before real Postfix: what each client reads, and what Postfix had to look up.

use anyhow::{Context, Result, ensure};
use portcullis_tests::{
    postfix::Service,
    smtp::Client,
    stand::{Stand, rcpt, rcpts},
};
use serde_json::json;

/// Guesses five names, RSET, five more, as the bots do, until it is told 421; returns the replies
/// to its guesses.
fn guess_until_cut(client: &mut Client) -> Result<Vec<String>> {
    let mut replies = Vec::new();
    client.command("EHLO bot.example.org")?;
    for group in 0..40 {
        client.command("MAIL FROM:<offer@example.org>")?;
        for name in 0..5 {
            let reply = client.command(&rcpt(&format!("guess{group}.{name}")))?;
            replies.push(reply.lines.join("\n"));
            if reply.code == 421 {
                return Ok(replies);
            }
        }
        client.command("RSET")?;
    }
    Ok(replies)
}

fn the_story_is_cut(service: Service, code: &str) -> Result<()> {
    let stand = Stand::with_policy(service, json!({}))?;
    let mut client = stand.client()?;
    let replies = guess_until_cut(&mut client)?;
    let (last, before) = replies.split_last().context("no reply")?;
    ensure!(before.len() == 4, "{replies:#?}");
    ensure!(
        before.iter().all(|reply| reply.starts_with(code)),
        "{replies:#?}"
    );
    ensure!(last.starts_with("421 4.7.0 "), "{replies:#?}");
    assert_eq!(
        client.read_to_end()?,
        "",
        "nothing may follow the last word"
    );

    let sessions = stand.postfix.log().wait_for_sessions(1)?;
    let counts = sessions
        .iter()
        .map(|session| (session.lookups, session.accepted));
    assert_eq!(counts.collect::<Vec<_>>(), [(5, 0)]);
    let log = stand.envoy.wait_for_sessions(1)?;
    let own = client.local_address()?.ip().to_string();
    let told = log
        .first()
        .and_then(|line| line.get("portcullis"))
        .context("nothing logged")?;
    let expected = [
        ("verdict", json!("close")),
        ("rule", json!("rcpt.max_consecutive")),
        ("rejected", json!(5)),
        ("client", json!(own)),
    ];
    for (field, value) in expected {
        assert_eq!(told.get(field), Some(&value), "{field} in {told}");
    }
    Ok(())
}

#[test]
fn five_unknown_names_are_the_end_where_the_server_says_550() -> Result<()> {
    the_story_is_cut(Service::Unknown550, "550 5.1.1")
}

#[test]
fn five_unknown_names_are_the_end_where_the_server_says_451() -> Result<()> {
    the_story_is_cut(Service::Unknown451, "451 4.1.1")
}

#[test]
fn reset_between_small_groups_does_not_help() -> Result<()> {
    let stand = Stand::with_defaults()?;
    let mut client = stand.client()?;
    client.command("EHLO bot.example.org")?;
    let mut guesses = 0;
    let last = 'guessing: loop {
        ensure!(guesses < 20, "never cut");
        for command in [
            "MAIL FROM:<offer@example.org>",
            &rcpt("nobody"),
            &rcpt("noone"),
            "RSET",
        ] {
            guesses += usize::from(command.starts_with("RCPT"));
            let reply = client.command(command)?;
            if reply.code == 421 {
                break 'guessing reply;
            }
        }
    };
    ensure!(last.starts_with("421 4.7.0 "), "{last:?}");
    assert_eq!(client.read_to_end()?, "");
    let sessions = stand.postfix.log().wait_for_sessions(1)?;
    ensure!(sessions[0].lookups <= 5, "{sessions:?}");
    Ok(())
}

#[test]
fn known_names_between_guesses_do_not_help() -> Result<()> {
    let policy = json!({ "rcpt": { "max_consecutive": 5, "max_total": 8 } });
    let stand = Stand::with_policy(Service::Unknown550, policy)?;
    let mut client = stand.client_in_transaction()?;
    let mut unknown = 0;
    let last = loop {
        ensure!(unknown < 20, "never cut");
        ensure!(client.command(&rcpt("alice"))?.code == 250);
        unknown += 1;
        let reply = client.command(&rcpt("nobody"))?;
        if reply.code != 550 {
            break reply;
        }
    };
    ensure!(last.starts_with("421 4.7.0 "), "{last:?}");
    assert_eq!(unknown, 8);
    assert_eq!(client.read_to_end()?, "");
    assert_eq!(
        stand.envoy.wait_for_sessions(1)?[0]["portcullis"]["rule"],
        "rcpt.max_total"
    );
    Ok(())
}

#[test]
fn a_burst_of_100_unknown_names_costs_the_server_5() -> Result<()> {
    for (service, code) in [(Service::Unknown550, 550), (Service::Unknown451, 451)] {
        let stand = Stand::with_policy(service, json!({}))?;
        let mut client = stand.client()?;
        client.command("EHLO bot.example.org")?;
        let burst = rcpts("guess", 100);
        client.send(format!("MAIL FROM:<offer@example.org>\r\n{burst}DATA\r\n"))?;
        assert_eq!(client.codes(6)?, [250, code, code, code, code, 421]);
        assert_eq!(client.read_to_end()?, "");
        let sessions = stand.postfix.log().wait_for_sessions(1)?;
        ensure!(sessions[0].lookups <= 5, "{sessions:?}");
    }
    Ok(())
}

#[test]
fn a_burst_of_100_known_names_passes_whole() -> Result<()> {
    let stand = Stand::with_defaults()?;
    let mut client = stand.client()?;
    client.command("EHLO client.example.org")?;
    let burst = rcpts("user", 100);
    client.send(format!("MAIL FROM:<sender@example.org>\r\n{burst}DATA\r\n"))?;
    assert_eq!(client.codes(102)?, [vec![250; 101], vec![354]].concat());
    ensure!(client.command("Subject: to all\r\n\r\nHello.\r\n.")?.code == 250);
    ensure!(client.command("QUIT")?.code == 221);
    assert_eq!(client.read_to_end()?, "");
    let sessions = stand.postfix.log().wait_for_sessions(1)?;
    assert_eq!((sessions[0].accepted, sessions[0].lookups), (100, 100));
    assert_eq!(stand.postfix.log().wait_for_messages(1)?, 1);
    Ok(())
}

#[test]
fn a_mixed_burst_is_answered_in_order_until_the_cut() -> Result<()> {
    let stand = Stand::with_defaults()?;
    let mut client = stand.client()?;
    client.command("EHLO client.example.org")?;
    let (known, unknown) = (rcpts("user", 7), rcpts("guess", 60));
    client.send(format!(
        "MAIL FROM:<sender@example.org>\r\n{known}{unknown}"
    ))?;
    let expected = [vec![250; 8], vec![550; 4], vec![421]].concat();
    assert_eq!(client.codes(13)?, expected);
    assert_eq!(client.read_to_end()?, "");
    let sessions = stand.postfix.log().wait_for_sessions(1)?;
    assert_eq!((sessions[0].accepted, sessions[0].lookups), (7, 12));
    Ok(())
}

#[test]
fn strict_mode_answers_any_reset_with_502_and_the_end() -> Result<()> {
    let policy = json!({ "reset": { "mode": "strict" } });
    let stand = Stand::with_policy(Service::Unknown550, policy)?;
    let mut client = stand.client_in_transaction()?;
    ensure!(client.command(&rcpt("alice"))?.code == 250);
    let reply = client.command("RSET")?;
    ensure!(reply.starts_with("502 5.5.1 "), "{reply:?}");
    assert_eq!(client.read_to_end()?, "");
    Ok(())
}

#[test]
fn observe_mode_cuts_nobody_and_says_whom_it_would_have_cut() -> Result<()> {
    let policy = json!({ "mode": "observe" });
    let stand = Stand::with_policy(Service::Unknown550, policy)?;
    let mut client = stand.client()?;
    let replies = guess_until_cut(&mut client)?;
    assert_eq!(replies.len(), 200);
    ensure!(
        replies.iter().all(|reply| reply.starts_with("550 5.1.1")),
        "{replies:#?}"
    );
    ensure!(client.command("QUIT")?.code == 221);
    // Envoy lets a session end when both sides have ended.
    drop(client);
    let log = stand.envoy.wait_for_sessions(1)?;
    assert_eq!(log[0]["portcullis"]["mode"], "observe", "{log:#?}");
    assert_eq!(
        log[0]["portcullis"]["rule"], "rcpt.max_consecutive",
        "{log:#?}"
    );
    Ok(())
}

#[test]
fn an_exempt_network_is_left_alone_and_others_are_not() -> Result<()> {
    let policy = json!({ "exempt": { "networks": ["127.30.0.0/16"] } });
    let stand = Stand::with_policy(Service::Unknown550, policy)?;
    let from = |address: &str| -> Result<usize> {
        let mut client = Client::connect_from(address.parse()?, stand.envoy.address())?;
        client.reply()?;
        Ok(guess_until_cut(&mut client)?.len())
    };
    assert_eq!(from("127.30.0.7")?, 200);
    assert_eq!(from("127.31.0.7")?, 5);
    Ok(())
}

#[test]
fn an_attacker_does_not_disturb_others() -> Result<()> {
    let stand = Stand::with_defaults()?;
    let mut honest = stand.client_in_transaction()?;
    let mut bot = stand.client()?;
    assert_eq!(guess_until_cut(&mut bot)?.len(), 5);
    ensure!(honest.command(&rcpt("alice"))?.code == 250);
    ensure!(honest.command("DATA")?.code == 354);
    ensure!(honest.command("Subject: hello\r\n\r\nHello.\r\n.")?.code == 250);
    assert_eq!(stand.postfix.log().wait_for_messages(1)?, 1);
    Ok(())
}
