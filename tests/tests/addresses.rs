//! Who the client is: on IPv6, behind a front proxy, and towards the server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use portcullis_tests::{
    envoy::{EnvoyConfig, FromClients, ToServer},
    postfix::Service,
    proxy_header,
    smtp::Client,
    stand::{Stand, rcpts},
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
