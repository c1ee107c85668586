//! Who the client is: on IPv6, behind a front proxy, and towards the server.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use portcullis_tests::{
    deadline::{PATIENCE, Seen, wait_for},
    envoy::{ClientTls, EnvoyConfig, FromClients, Guard, ToServer},
    postfix::Service,
    proxy_header,
    smtp::Client,
    stand::{Stand, rcpts},
    tls::{Certificate, TlsClient},
};
use serde_json::{Value, json};

/// A front proxy on this machine may name the client.
fn behind_proxy(config: EnvoyConfig) -> EnvoyConfig {
    let local = ["127.0.0.1/32"]
        .into_iter()
        .filter_map(|net| net.parse().ok())
        .collect();
    config.from_clients(FromClients::BehindProxy(local))
}

/// A client as a front proxy presents it, greeted.
fn proxied(stand: &Stand, header: &[u8]) -> Result<Client> {
    let front = Ipv4Addr::LOCALHOST.into();
    let mut client = Client::connect_from(front, stand.envoy.address())?;
    client.send(header)?;
    client.reply()?;
    Ok(client)
}

/// Guesses ten names at once and returns how many were answered before the end.
fn guesses_answered(client: &mut Client) -> Result<usize> {
    client.command("EHLO bot.example.org")?;
    let burst = rcpts("guess", 10);
    client.send(format!("MAIL FROM:<offer@example.org>\r\n{burst}QUIT\r\n"))?;
    let replies = client.read_to_end()?;
    Ok(replies
        .lines()
        .filter(|line| !line.starts_with('2'))
        .count())
}

fn servers_address() -> Result<SocketAddr> {
    Ok("192.0.2.25:25".parse()?)
}

/// The clients in the access log, by the filter's account and by Envoy's.
fn logged_clients(stand: &Stand, count: usize) -> Result<Vec<(String, String)>> {
    let lines = stand.envoy.wait_for_sessions(count)?;
    let told = |line: &Value, pointer: &str| {
        let client = line.pointer(pointer).and_then(Value::as_str);
        client
            .map(str::to_owned)
            .with_context(|| format!("{pointer} in {line}"))
    };
    let both = |line| Ok((told(line, "/portcullis/client")?, told(line, "/client")?));
    lines.iter().map(both).collect()
}

#[test]
fn a_client_on_ipv6_is_judged_and_named() -> Result<()> {
    let listen = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let stand = Stand::with(Service::Unknown550, json!({}), |config| {
        config.listen(listen)
    })?;
    let mut client = stand.client()?;
    let own = client.local_address()?.to_string();
    assert_eq!(guesses_answered(&mut client)?, 5);
    drop(client);
    assert_eq!(logged_clients(&stand, 1)?, [("::1".into(), own)]);
    Ok(())
}

/// The next address, of IPv6 in the next /64.
fn next_client(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from(u32::from(address) + 1).into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) + (1 << 64)).into(),
    }
}

#[test]
fn clients_behind_a_front_proxy_are_told_apart() -> Result<()> {
    let policy = json!({ "exempt": { "networks": ["203.0.113.0/24", "2001:db8:7::/48"] } });
    let stand = Stand::with(Service::Unknown550, policy, behind_proxy)?;
    let server = servers_address()?;
    let server_v6: SocketAddr = "[2001:db8::25]:25".parse()?;
    let cases: [(&str, SocketAddr, usize); 4] = [
        ("203.0.113.7:5555", server, 10),
        ("198.51.100.9:6666", server, 5),
        ("[2001:db8:7::1]:7777", server_v6, 10),
        ("[2001:db8:8::1]:8888", server_v6, 5),
    ];
    for (number, (client, server, answered)) in cases.into_iter().enumerate() {
        let client: SocketAddr = client.parse()?;
        // The second one must not be known for what the first one did.
        let other = SocketAddr::new(next_client(client.ip()), client.port());
        let headers = [
            (client, proxy_header::version_1(client, server)),
            (other, proxy_header::version_2(other, server)?),
        ];
        for (version, (client, header)) in headers.iter().enumerate() {
            let mut connection = proxied(&stand, header)?;
            assert_eq!(guesses_answered(&mut connection)?, answered, "{client}");
            drop(connection);
            let sessions = 2 * number + version + 1;
            let logged = logged_clients(&stand, sessions)?;
            let expected = (client.ip().to_string(), client.to_string());
            assert_eq!(logged.last(), Some(&expected));
        }
    }
    Ok(())
}

#[test]
fn only_a_trusted_peer_may_name_the_client() -> Result<()> {
    let stand = Stand::with(Service::Unknown550, json!({}), behind_proxy)?;
    let header = proxy_header::version_1("203.0.113.7:5555".parse()?, servers_address()?);
    let mut stranger = Client::connect_from("127.0.0.9".parse()?, stand.envoy.address())?;
    stranger.send(&header)?;
    assert_eq!(stranger.read_until_closed()?, "");
    let mut trusted = proxied(&stand, &header)?;
    ensure!(trusted.command("QUIT")?.code == 221);
    drop(trusted);
    assert_eq!(stand.postfix.log().wait_for_sessions(1)?.len(), 1);
    Ok(())
}

#[test]
fn the_server_is_told_the_client() -> Result<()> {
    for to_server in [ToServer::ProxyV1, ToServer::ProxyV2] {
        let stand = Stand::with(Service::BehindProxy, json!({}), |config| {
            config.to_server(to_server)
        })?;
        let mut client = Client::connect_from("127.40.0.9".parse()?, stand.envoy.address())?;
        client.reply()?;
        assert_eq!(guesses_answered(&mut client)?, 5);
        drop(client);
        let sessions = stand.postfix.log().wait_for_sessions(1)?;
        assert_eq!(
            (sessions[0].client.as_str(), sessions[0].lookups),
            ("127.40.0.9", 5)
        );
    }
    Ok(())
}

#[test]
fn what_the_front_proxy_said_reaches_the_server() -> Result<()> {
    let choose = |config| behind_proxy(config).to_server(ToServer::ProxyV2);
    let stand = Stand::with(Service::BehindProxy, json!({}), choose)?;
    let cases = [
        ("203.0.113.7:5555", "192.0.2.25:25"),
        ("[2001:db8::7]:5555", "[2001:db8::25]:25"),
    ];
    for (number, (client, server)) in cases.into_iter().enumerate() {
        let client: SocketAddr = client.parse()?;
        let header = proxy_header::version_2(client, server.parse()?)?;
        let mut connection = proxied(&stand, &header)?;
        ensure!(connection.command("QUIT")?.code == 221);
        drop(connection);
        let sessions = stand.postfix.log().wait_for_sessions(number + 1)?;
        assert_eq!(sessions[number].client, client.ip().to_string());
    }
    Ok(())
}

/// The server hears it in the PROXY header, where the client was under TLS from the first byte on.
#[test]
fn the_server_can_be_told_of_tls_on_port_465() -> Result<()> {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    server.set_nonblocking(true)?;
    let tls = ClientTls::Implicit {
        certificate: Certificate::temporary()?,
    };
    let config = EnvoyConfig::before(server.local_addr()?, Guard::with_defaults()?);
    let config = config.client_tls(tls).to_server(ToServer::ProxyV2OfTls);
    let envoy = config.start()?;
    let client: IpAddr = "127.62.0.1".parse()?;
    let dial = || -> Result<()> {
        let client = Client::connect_from(client, envoy.address())?;
        let mut client = client.handshake(&TlsClient::new())?;
        ensure!(client.reply()?.code == 220);
        ensure!(client.command("NOOP")?.code == 250);
        Ok(())
    };
    let serve = || -> Result<Vec<u8>> {
        let mut stream = wait_for("Envoy to connect", PATIENCE, || {
            Ok(match server.accept() {
                Ok((stream, _)) => Seen::Done(stream),
                Err(error) => Seen::NotYet(error.to_string()),
            })
        })?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut header = vec![0; 16];
        stream.read_exact(&mut header)?;
        let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
        header.resize(16 + rest, 0);
        stream.read_exact(&mut header[16..])?;
        stream.write_all(b"220 mx\r\n")?;
        let mut said = String::new();
        BufReader::new(&stream).read_line(&mut said)?;
        assert_eq!(said, "NOOP\r\n", "nothing else is before it");
        stream.write_all(b"250 ok\r\n")?;
        Ok(header)
    };
    let header = thread::scope(|scope| -> Result<Vec<u8>> {
        let dialled = scope.spawn(dial);
        let header = serve();
        match dialled.join() {
            Ok(ended) => ended?,
            Err(_) => bail!("the client panicked"),
        }
        header
    })?;
    let header = ppp::v2::Header::try_from(header.as_slice())?;
    let ppp::v2::Addresses::IPv4(addresses) = header.addresses else {
        bail!("{header:?}");
    };
    assert_eq!(IpAddr::from(addresses.source_address), client);
    let tlvs: Vec<_> = header.tlvs().collect::<Result<_, _>>()?;
    let [told] = tlvs.as_slice() else {
        bail!("{tlvs:?}");
    };
    // PP2_CLIENT_SSL, and no certificate that was verified.
    assert_eq!(
        (told.kind, &*told.value),
        (0x20, [1, 0, 0, 0, 1].as_slice())
    );
    Ok(())
}

#[test]
fn postfix_passes_over_what_is_said_of_tls() -> Result<()> {
    let client: IpAddr = "127.62.0.2".parse()?;
    let tls = ClientTls::Implicit {
        certificate: Certificate::temporary()?,
    };
    let stand = Stand::with(Service::BehindProxy, json!({}), |config| {
        config.client_tls(tls).to_server(ToServer::ProxyV2OfTls)
    })?;
    let connected = Client::connect_from(client, stand.envoy.address())?;
    let mut session = connected.handshake(&TlsClient::new())?;
    ensure!(session.reply()?.code == 220);
    ensure!(session.command("QUIT")?.code == 221);
    drop(session);
    let sessions = stand.postfix.log().wait_for_sessions(1)?;
    assert_eq!(sessions[0].client, client.to_string());
    Ok(())
}
