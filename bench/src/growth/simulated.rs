//! The guard in the simulator, where a million clients take minutes and not hours. Its CPU time is
//! the simulator's, too, so only how it grows says something.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use portcullis_host_sim::{
    ConnId, FilterModule, LogLevel, Simulator,
    mta::{Mailboxes, SimulatedMta},
};
use portcullis_tests::paths;

use super::{Curve, CurveLine, Size, float};

/// Sessions whose time is taken at each point.
const TIMED: usize = 300;
const MIB: f64 = 1024.0 * 1024.0;

/// A guard before a server that knows `alice`.
pub(super) struct Guarded {
    pub(super) sim: Simulator,
}

impl Guarded {
    pub(super) fn start() -> Result<Self> {
        let module = FilterModule::from_file(&paths::wasm()?)?;
        let mailboxes =
            Mailboxes::new("example.test", ["alice"]).unknown_reply("451 4.1.1 No such user");
        let mut sim = Simulator::builder_for(&module)
            .plugin_config("{}")
            .vm_id("portcullis")
            .log_level(LogLevel::Error)
            .echo_cluster("portcullis_refusals")
            .responder(SimulatedMta::new(mailboxes))
            .build()?;
        // It makes itself ready.
        sim.advance(Duration::from_secs(1));
        Ok(Self { sim })
    }

    fn open(&mut self, client: usize) -> ConnId {
        let number = u32::try_from(client).unwrap_or_default();
        let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number));
        let server = SocketAddr::from(([192, 0, 2, 25], 25));
        let conn = self.sim.open(SocketAddr::new(address, 40_001), server);
        self.settle();
        conn
    }

    fn settle(&mut self) {
        // Held commands and closes are the filter's own errands, done when nothing else is.
        let _ = self.sim.advance_until_quiet(Duration::from_secs(1));
    }

    fn say(&mut self, conn: ConnId, text: &str) -> Vec<u8> {
        self.sim.client_write(conn, text.as_bytes());
        self.settle();
        self.sim.take_client(conn).bytes
    }

    pub(super) fn greeted(&mut self, client: usize) -> ConnId {
        let conn = self.open(client);
        self.say(conn, "EHLO client.example.org\r\n");
        conn
    }

    pub(super) fn is_open(&self, conn: ConnId) -> bool {
        self.sim.summary(conn).is_none() && self.sim.reached_server(conn)
    }

    fn leave(&mut self, conn: ConnId) {
        self.sim.client_half_close(conn);
        self.settle();
        self.sim.client_abort(conn);
        self.settle();
        self.sim.forget(conn);
        self.sim.take_logs();
        self.sim.take_heard();
    }

    /// One message for alice, and QUIT.
    fn deliver(&mut self, client: usize) -> Result<()> {
        let conn = self.greeted(client);
        self.say(
            conn,
            "MAIL FROM:<carol@example.com>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n",
        );
        let said = self.say(conn, "Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n");
        ensure!(
            said.starts_with(b"250"),
            "client {client}: {:?}",
            String::from_utf8_lossy(&said)
        );
        self.leave(conn);
        Ok(())
    }

    /// Guesses until it is cut.
    fn get_listed(&mut self, client: usize) -> Result<()> {
        let conn = self.greeted(client);
        let mut text = String::from("MAIL FROM:<a@example.com>\r\n");
        for guess in 0..6 {
            text += &format!("RCPT TO:<guess{client}.{guess}@example.test>\r\n");
        }
        let said = self.say(conn, &text);
        let said = String::from_utf8_lossy(&said);
        ensure!(
            said.contains("\r\n421 "),
            "client {client} was not cut: {said:?}"
        );
        self.leave(conn);
        Ok(())
    }

    /// One that is listed reads its refusal. Listings make room for others at the cap, so some
    /// clients may be new again.
    fn knock(&mut self, client: usize) -> bool {
        let conn = self.open(client);
        let refused = self.sim.take_client(conn).bytes.starts_with(b"421");
        self.leave(conn);
        refused
    }

    /// The machine's memory, and what is kept outside it.
    fn memory(&self) -> f64 {
        let keys = self.sim.shared_keys();
        let shared = keys
            .iter()
            .map(|key| key.len() + self.sim.shared_data(key).map_or(0, |value| value.len()));
        float(self.sim.wasm_memory_bytes() + shared.sum::<usize>()) / MIB
    }
}

/// Clients that delivered mail, and clients that were listed.
pub(super) fn clients(size: &Size) -> Result<Vec<Curve>> {
    eprintln!("bench: growth: clients and listings, in the simulator");
    let (delivered_memory, delivered_time) = grow(
        size,
        |guarded, client| guarded.deliver(client),
        |guarded, client| guarded.deliver(client).is_ok(),
    )?;
    let (listed_memory, listed_time) = grow(size, Guarded::get_listed, Guarded::knock)?;
    let line = |name: &str, points| CurveLine {
        name: name.to_owned(),
        points,
    };
    const PLACE: &str = "in the simulator, one worker; real Envoy would take hours";
    Ok(vec![
        Curve {
            id: "clients-memory",
            title: "Memory, by clients there have been",
            across: "clients",
            upwards: "MiB",
            place: PLACE,
            lines: vec![
                line("who delivered mail", delivered_memory),
                line("who were listed", listed_memory),
            ],
        },
        Curve {
            id: "clients-time",
            title: "Time of a session, by clients there have been",
            across: "clients",
            upwards: "us",
            place: PLACE,
            lines: vec![
                line("a message of one of them", delivered_time),
                line("a refusal of a listed one", listed_time),
            ],
        },
    ])
}

type Points = Vec<(f64, f64)>;

/// Lets clients come, and looks at each point of the curve: memory, and the time of some sessions of
/// clients that came last.
fn grow(
    size: &Size,
    mut come: impl FnMut(&mut Guarded, usize) -> Result<()>,
    mut again: impl FnMut(&mut Guarded, usize) -> bool,
) -> Result<(Points, Points)> {
    let mut guarded = Guarded::start()?;
    let (mut memory, mut time) = (Points::new(), Points::new());
    let mut came = 0;
    for point in &size.clients {
        while came < *point {
            came += 1;
            come(&mut guarded, came)?;
        }
        ensure!(guarded.sim.traps().is_empty(), "{:?}", guarded.sim.traps());
        memory.push((float(*point), guarded.memory()));
        let last = came.saturating_sub(TIMED)..came;
        let start = Instant::now();
        let done = last
            .filter(|client| again(&mut guarded, client + 1))
            .count();
        ensure!(
            done * 2 >= TIMED.min(came),
            "{done} of {TIMED} went as they should"
        );
        let each = start.elapsed().as_secs_f64() * 1e6 / float(TIMED.min(came));
        time.push((float(*point), each));
    }
    Ok((memory, time))
}
