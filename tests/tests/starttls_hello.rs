//! The first EHLO under TLS on real Envoy: the server hears of it only where it might say something
//! else than before, and sessions of both kinds replay as they were.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use anyhow::{Result, ensure};
use portcullis_host_sim::{
    FilterModule,
    attack::{Guard as ReplayGuard, RecordFields},
    transcripts::{Choice, Replay, read},
};
use portcullis_tests::{
    envoy::{Envoy, EnvoyConfig, Guard},
    paths,
    smtp::Client,
    stand::{rcpt, starttls},
    tls::TlsClient,
};
use serde_json::json;

const EHLO: &str = "EHLO client.example.org";
const MAIL: &str = "MAIL FROM:<sender@example.org>";

/// A server that writes down what it hears on the connection that came last. It offers STARTTLS, so
/// that its reply has to be changed in both ways.
struct Recorder {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let list = Arc::clone(&heard);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let list = Arc::clone(&list);
                list.lock().map(|mut list| list.clear()).unwrap_or_default();
                // Ends with the connection, which ends with Envoy.
                thread::spawn(move || Self::serve(stream, &list));
            }
        });
        Ok(Self { address, heard })
    }

    fn serve(mut stream: TcpStream, heard: &Mutex<Vec<String>>) -> std::io::Result<()> {
        stream.write_all(b"220 mx.example.test ESMTP\r\n")?;
        for line in BufReader::new(stream.try_clone()?).lines() {
            let line = line?;
            if let Ok(mut heard) = heard.lock() {
                heard.push(line.clone());
            }
            let reply = match line.split([' ', ':']).next().unwrap_or_default() {
                "EHLO" => format!(
                    "250-mx.example.test glad to meet {}\r\n250-STARTTLS\r\n250-SIZE 9\r\n250 DSN\r\n",
                    &line[5..]
                ),
                "RCPT" => "550 5.1.1 No such user\r\n".to_owned(),
                "QUIT" => "221 2.0.0 bye\r\n".to_owned(),
                _ => "250 2.0.0 ok\r\n".to_owned(),
            };
            stream.write_all(reply.as_bytes())?;
        }
        Ok(())
    }

    fn heard(&self) -> Vec<String> {
        self.heard
            .lock()
            .map(|heard| heard.clone())
            .unwrap_or_default()
    }
}

/// A client that was greeted and has said EHLO and this, and is under TLS then.
fn switched(envoy: &Envoy, between: &[&str], starttls: &str) -> Result<Client> {
    let mut client = Client::greeted(envoy.address())?;
    let clear = client.command(EHLO)?;
    assert_eq!(
        clear.lines,
        reply("client.example.org", Some("250 STARTTLS"))
    );
    for command in between {
        client.command(command)?;
    }
    assert_eq!(client.command(starttls)?.code, 220);
    Ok(client.handshake(&TlsClient::new())?)
}

/// The server's reply as clients read it.
fn reply(name: &str, offer: Option<&str>) -> Vec<String> {
    let first = format!("250-mx.example.test glad to meet {name}");
    match offer {
        Some(offer) => vec![first, "250-SIZE 9".into(), "250-DSN".into(), offer.into()],
        None => vec![first, "250-SIZE 9".into(), "250 DSN".into()],
    }
}

/// What is said before STARTTLS; how STARTTLS is said; the EHLO under TLS and its name; and what the
/// server hears of all that.
type Row<'a> = (&'a [&'a str], &'a str, (&'a str, &'a str), &'a [&'a str]);

/// Runs the sessions, each of which ends by QUIT.
fn sessions(envoy: &Envoy, server: &Recorder) -> Result<usize> {
    let injected = format!("STARTTLS\r\nEHLO evil.example.org\r\n{MAIL}");
    let same = (EHLO, "client.example.org");
    let other = ("EHLO other.example.org", "other.example.org");
    let rows: [Row<'_>; 5] = [
        (&[], "STARTTLS", same, &[EHLO, MAIL, "QUIT"]),
        (&["NOOP"], "starttls", same, &[EHLO, "NOOP", MAIL, "QUIT"]),
        // The NOOP stands for STARTTLS; what was pushed in behind it is nowhere.
        (&[], &injected, same, &[EHLO, "NOOP", MAIL, "QUIT"]),
        (&[], "STARTTLS", other, &[EHLO, other.0, MAIL, "QUIT"]),
        (&[MAIL], "STARTTLS", same, &[EHLO, MAIL, EHLO, MAIL, "QUIT"]),
    ];
    for (between, starttls, (hello, name), heard) in &rows {
        let mut client = switched(envoy, between, starttls)?;
        assert_eq!(client.command(hello)?.lines, reply(name, None));
        assert_eq!(client.command(MAIL)?.code, 250);
        assert_eq!(client.command("QUIT")?.code, 221);
        assert_eq!(server.heard(), *heard, "{between:?} {starttls:?} {hello}");
    }
    // With more behind it in one segment the server answers, in order.
    let mut client = switched(envoy, &[], "STARTTLS")?;
    client.send(format!("{EHLO}\r\n{MAIL}\r\nQUIT\r\n"))?;
    assert_eq!(client.reply()?.lines, reply("client.example.org", None));
    assert_eq!(client.codes(2)?, [250, 221]);
    assert_eq!(server.heard(), [EHLO, EHLO, MAIL, "QUIT"]);
    // What the guard goes by is what is said under TLS.
    let mut client = switched(envoy, &[], "STARTTLS")?;
    assert_eq!(client.command(EHLO)?.code, 250);
    assert_eq!(client.command(MAIL)?.code, 250);
    let codes: Vec<u16> = (0..5)
        .map(|number| Ok(client.command(&rcpt(&format!("guess{number}")))?.code))
        .collect::<Result<_>>()?;
    assert_eq!(codes, [550, 550, 550, 550, 421]);
    Ok(rows.len() + 2)
}

#[test]
fn the_server_is_asked_once_and_sessions_replay_to_their_verdicts() -> Result<()> {
    let policy = json!({ "transcripts": { "sessions": "all" } });
    let server = Recorder::start()?;
    let config = EnvoyConfig::before(server.address, Guard::with_policy(policy.clone())?);
    let envoy = config.client_tls(starttls()?).start()?;
    let count = sessions(&envoy, &server)?;
    let log = envoy.wait_for_sessions(count)?;
    let traps = envoy.traps()?;
    ensure!(traps.is_empty(), "{traps:#?}");
    let lines: String = log.iter().map(|line| format!("{line}\n")).collect();
    let transcripts = read(lines.as_bytes(), &Choice::default())?;
    assert_eq!(transcripts.len(), count, "{lines}");
    let guard = ReplayGuard {
        module: FilterModule::from_file(&paths::wasm()?)?,
        policy: policy.to_string().into_bytes(),
        echo_clusters: Vec::new(),
        dns_clusters: Vec::new(),
    };
    let replayed = Replay {
        transcripts: &transcripts,
        guard: &guard,
        fields: &RecordFields::default(),
    }
    .play()?;
    assert_eq!(replayed.len(), count);
    for (session, transcript) in replayed.iter().zip(&transcripts) {
        ensure!(session.is_same(), "{session:#?}\n{}", transcript.text);
    }
    let closed = |label: &str| label.starts_with("close rcpt.max_consecutive");
    assert_eq!(
        replayed
            .iter()
            .filter(|session| closed(&session.replayed))
            .count(),
        1
    );
    Ok(())
}
