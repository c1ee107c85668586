//! Random dialogues: the client's turns, each of which it may send without waiting.

use proptest::prelude::*;

/// The client's side of a session: groups of commands. An honest client waits for all replies
/// between two groups (RFC 2920 section 3.1).
pub(crate) type Turns = Vec<Vec<u8>>;

/// A client that knows its recipients, but for one in a while.
pub(crate) fn honest() -> impl Strategy<Value = Turns> {
    let transactions = prop::collection::vec(transaction(), 0..5);
    (transactions, any::<bool>()).prop_map(|(transactions, quits)| {
        let mut turns = vec![b"EHLO client.test\r\n".to_vec()];
        turns.extend(transactions.into_iter().flatten());
        if quits {
            turns.push(b"QUIT\r\n".to_vec());
        }
        turns
    })
}

fn transaction() -> impl Strategy<Value = Turns> {
    prop_oneof![
        (known(1..60), body()).prop_map(|(rcpts, body)| {
            let mut message = body;
            message.extend_from_slice(b"\r\n.\r\n");
            vec![opened(rcpts, "DATA\r\n"), message]
        }),
        (known(1..20), body(), 1usize..50)
            .prop_map(|(rcpts, body, size)| { vec![opened(rcpts, &chunks(&body, size))] }),
        known(0..5).prop_map(|rcpts| vec![opened(rcpts, "RSET\r\n")]),
        Just(vec![b"NOOP\r\n".to_vec(), b"VRFY someone\r\n".to_vec()]),
    ]
}

fn opened(rcpts: String, end: &str) -> Vec<u8> {
    format!("MAIL FROM:<a@client.test>\r\n{rcpts}{end}").into_bytes()
}

/// The body is ASCII here, so that it can be formatted.
fn chunks(body: &[u8], size: usize) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let whole: String = body
        .chunks(size)
        .map(|chunk| format!("BDAT {}\r\n{}", chunk.len(), text(chunk)))
        .collect();
    whole + "BDAT 0 LAST\r\n"
}

fn known(count: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    prop::collection::vec(0..100u32, count).prop_map(|names| {
        names
            .into_iter()
            .map(|n| format!("RCPT TO:<known{n}@example.test>\r\n"))
            .collect()
    })
}

/// Text that reads like commands, with dots and bare line ends, but without an end of data.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "",
        "..",
        "RSET\r\n",
        "RCPT TO:<guess1@example.test>\r\n",
        "text\r\n",
        "\n",
        "\r",
        "..x\r\n",
        "QUIT\r\n",
        "250 ok\r\n",
        "BDAT 5\r\n",
    ]);
    prop::collection::vec(line, 0..20).prop_map(|lines| {
        let text = lines.concat();
        // Whatever stands there, no line of it is a lone dot.
        let safe: Vec<String> = text.split('\n').map(unlike_an_end).collect();
        safe.join("\n").into_bytes()
    })
}

fn unlike_an_end(line: &str) -> String {
    if line.starts_with('.') {
        format!(".{line}x")
    } else {
        line.to_owned()
    }
}

/// A client that guesses, and resets, and mixes in known names and the postmaster.
pub(crate) fn attack() -> impl Strategy<Value = Turns> {
    let command = prop_oneof![
        8 => (0..1000u32).prop_map(|n| format!("RCPT TO:<guess{n}@example.test>\r\n")),
        1 => Just("RCPT TO:<known1@example.test>\r\n".to_owned()),
        1 => Just("RCPT TO:<postmaster>\r\n".to_owned()),
        1 => Just("RSET\r\n".to_owned()),
        1 => Just("MAIL FROM:<>\r\n".to_owned()),
        1 => Just("NOOP\r\n".to_owned()),
    ];
    prop::collection::vec(command, 1..120).prop_map(|commands| {
        vec![
            b"EHLO bot.test\r\n".to_vec(),
            b"MAIL FROM:<>\r\n".to_vec(),
            commands.concat().into_bytes(),
        ]
    })
}
