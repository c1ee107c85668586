//! The TCP proxy and the demo server behind it, on loopback.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use common::{ROUTE, ROUTE_AT_ONCE, filter, pass_through};
use portcullis_host_sim::mta::{Mailboxes, Server, ServerOptions, Stats};
use portcullis_host_sim::serve::{Access, Proxy, ProxyProtocol, ServeError, ServeOptions};
use portcullis_host_sim::{FilterModule, HostError, LogLevel};
use tokio::sync::watch;
use tokio::task::LocalSet;

const DEADLINE: Duration = Duration::from_secs(10);

/// The demo server on a thread, stopped when dropped.
struct Mta {
    address: SocketAddr,
    stats: Arc<Stats>,
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Mta {
    fn start() -> Self {
        let (stop, stopped) = watch::channel(());
        let (ready, started) = channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            LocalSet::new().block_on(&runtime, async {
                let options = ServerOptions {
                    listen: "127.0.0.1:0".parse().unwrap(),
                    mailboxes: Mailboxes::new("example.test", ["alice"]),
                    stats_file: None,
                };
                let server = Server::bind(options).unwrap();
                ready
                    .send((server.local_addr().unwrap(), server.stats()))
                    .unwrap();
                server.serve(stopped).await;
            });
        });
        let (address, stats) = started.recv_timeout(DEADLINE).unwrap();
        Self {
            address,
            stats,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Mta {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn options(module: FilterModule, upstream: SocketAddr) -> ServeOptions {
    ServeOptions {
        module,
        policy: b"{}".to_vec(),
        listen: "127.0.0.1:0".parse().unwrap(),
        upstream,
        echo_clusters: Vec::new(),
        workers: 2,
        proxy_protocol: ProxyProtocol::Off,
        access: Access::Quiet,
        log_level: LogLevel::Critical,
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn read_all(mut stream: &TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

const MESSAGE: &[u8] = b"EHLO c\r\nMAIL FROM:<s@x.test>\r\nRCPT TO:<alice@example.test>\r\n\
    RCPT TO:<nobody@example.test>\r\nDATA\r\nSubject: t\r\n\r\nhello\r\n.\r\nQUIT\r\n";

#[test]
fn a_message_passes_on_every_worker() {
    let mta = Mta::start();
    let proxy = Proxy::start(&options(pass_through(), mta.address)).unwrap();
    for _ in 0..4 {
        let mut client = connect(proxy.local_addr());
        client.write_all(MESSAGE).unwrap();
        let replies = read_all(&client);
        assert!(replies.contains("451 No such user\r\n"), "{replies}");
        assert!(
            replies.ends_with("Message accepted\r\n221 2.0.0 Bye\r\n"),
            "{replies}"
        );
    }
    let stats = mta.stats.snapshot();
    assert_eq!(
        (stats.connections, stats.messages, stats.rcpt_unknown),
        (4, 4, 4)
    );
}

#[test]
fn a_half_closed_client_still_gets_its_replies() {
    let mta = Mta::start();
    let proxy = Proxy::start(&options(pass_through(), mta.address)).unwrap();
    let mut client = connect(proxy.local_addr());
    client.write_all(b"EHLO c\r\nNOOP\r\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(read_all(&client).ends_with("250 2.0.0 Nothing done\r\n"));
}

#[test]
fn the_last_word_arrives_before_the_close_though_the_client_floods() {
    // Turns the greeting into a 421 and closes from the queue.
    let module = filter(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (i32.store8 (i32.const 210) (i32.const 0))
             (drop (call $register (i32.const 210) (i32.const 4) (i32.const 200))) (i32.const 1))
           (func (export "proxy_on_upstream_data") (param i32 i32 i32) (result i32)
             (drop (call $set_buffer (i32.const 3) (i32.const 0) (local.get 1) (i32.const 110) (i32.const 9)))
             (i32.store (i32.const 220) (local.get 0))
             (drop (call $enqueue (i32.load (i32.const 200)) (i32.const 220) (i32.const 4)))
             (i32.const 0))
           (func (export "proxy_on_queue_ready") (param i32 i32)
             (if (i32.eqz (call $dequeue (local.get 1) (i32.const 204) (i32.const 208)))
               (then (if (i32.eqz (call $act_as (i32.load (i32.load (i32.const 204)))))
                 (then (drop (call $close (i32.const 2)))))))) "#,
    );
    let mta = Mta::start();
    let mut options = options(module, mta.address);
    options.workers = 1;
    let proxy = Proxy::start(&options).unwrap();
    for _ in 0..50 {
        let mut client = connect(proxy.local_addr());
        client.write_all(&b"NOOP\r\n".repeat(20)).unwrap();
        assert_eq!(read_all(&client), "421 bye\r\n");
    }
}

#[test]
fn the_proxy_header_says_who_the_client_is() {
    // Answers the greeting with the source address.
    let module = filter(
        r#"(func (export "proxy_on_upstream_data") (param i32 i32 i32) (result i32)
             (drop (call $get_property (i32.const 140) (i32.const 15) (i32.const 200) (i32.const 204)))
             (drop (call $set_buffer (i32.const 3) (i32.const 0) (local.get 1)
               (i32.load (i32.const 200)) (i32.load (i32.const 204))))
             (i32.const 0))"#,
    );
    let mta = Mta::start();
    let mut options = options(module, mta.address);
    options.proxy_protocol = ProxyProtocol::Expected;
    let proxy = Proxy::start(&options).unwrap();
    let mut client = connect(proxy.local_addr());
    client
        .write_all(b"PROXY TCP6 2001:db8::7 2001:db8::25 55")
        .unwrap();
    client.write_all(b"55 25\r\n").unwrap();
    let mut address = [0; 18];
    client.read_exact(&mut address).unwrap();
    assert_eq!(&address, b"[2001:db8::7]:5555");
    let mut liar = connect(proxy.local_addr());
    liar.write_all(b"EHLO c\r\n").unwrap();
    let mut rest = Vec::new();
    // An end or a reset: either way nothing was said.
    let _reset = liar.read_to_end(&mut rest);
    assert_eq!(rest, b"");
}

#[test]
fn an_unreachable_server_ends_the_session_and_a_bad_start_is_an_error() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let proxy = Proxy::start(&options(pass_through(), closed)).unwrap();
    assert_eq!(read_all(&connect(proxy.local_addr())), "");
    let mut taken = options(pass_through(), closed);
    taken.listen = proxy.local_addr();
    assert!(matches!(
        Proxy::start(&taken),
        Err(ServeError::Listen { .. })
    ));
    let refusing = filter(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 0))"#,
    );
    let refused = Proxy::start(&options(refusing, closed)).err();
    let expected = matches!(
        refused,
        Some(ServeError::Filter(HostError::ConfigurationRefused { .. }))
    );
    assert!(expected, "{refused:?}");
}

#[test]
fn stopping_ends_open_sessions() {
    let mta = Mta::start();
    let proxy = Proxy::start(&options(pass_through(), mta.address)).unwrap();
    let mut client = connect(proxy.local_addr());
    let mut greeting = [0; 4];
    client.read_exact(&mut greeting).unwrap();
    drop(proxy);
    assert!(
        read_all(&client).ends_with("\r\n"),
        "the rest of the greeting, then the end"
    );
}

#[test]
fn a_routed_session_meets_the_echo_and_no_server() {
    let mta = Mta::start();
    let module = filter(&[ROUTE, ROUTE_AT_ONCE].concat());
    let mut options = options(module, mta.address);
    let nowhere = Proxy::start(&options).unwrap();
    assert_eq!(read_all(&connect(nowhere.local_addr())), "");
    options.echo_clusters = vec!["other".into(), "refuse".into()];
    let proxy = Proxy::start(&options).unwrap();
    let mut client = connect(proxy.local_addr());
    let own = client.local_addr().unwrap();
    client.write_all(b"QUIT\r\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let (from, to) = (own.port(), proxy.local_addr().port());
    assert_eq!(
        read_all(&client),
        format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {to}\r\nQUIT\r\n")
    );
    assert_eq!(mta.stats.snapshot().connections, 0);
}
