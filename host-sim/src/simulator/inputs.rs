//! What clients and servers do: at once in the fixed order, on its way under a seed.

use std::net::SocketAddr;
use std::time::Duration;

use super::Simulator;
use super::endpoint::Endpoint;
use super::wire::Input;
use crate::chance::{Order, Way};
use crate::observe::ConnId;
use crate::worker::Worker;

impl Simulator {
    pub(super) fn open_now(&mut self, index: usize, peer: SocketAddr, local: SocketAddr) -> ConnId {
        let worker = self.workers.get_mut(index);
        let context = worker.map_or(0, |worker| worker.open(peer, local));
        let conn = ConnId {
            worker: index,
            context,
        };
        self.endpoints.insert(conn, Endpoint::default());
        let opened = Input::Opened { peer, local };
        self.note(conn, format_args!("{opened}"));
        self.note_contention(index);
        self.run();
        conn
    }

    /// Sends a connection on its way. A listening socket gives connections out in
    /// the order they came, so their contexts can be counted already.
    pub(super) fn open_later(
        &mut self,
        index: usize,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> ConnId {
        let context = self.workers.get_mut(index).map_or(0, Worker::reserve);
        let conn = ConnId {
            worker: index,
            context,
        };
        let door = self.doors.entry(index).or_default();
        let due = self.chance.arrival(self.now, door);
        let endpoint = self.endpoints.entry(conn).or_default();
        endpoint.ways.from_client = Way::not_before(due);
        self.wire.send(due, conn, Input::Opened { peer, local });
        conn
    }

    /// A write as the segments it comes in.
    pub(super) fn cut(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let Some(octets) = &self.segments else {
            return vec![bytes.to_vec()];
        };
        let octets = *octets.start() as u64..=*octets.end() as u64;
        let mut rest = bytes;
        let mut segments = Vec::new();
        while !rest.is_empty() {
            let drawn = usize::try_from(self.chance.draw(octets.clone())).unwrap_or(usize::MAX);
            let (segment, after) = rest.split_at(drawn.clamp(1, rest.len()));
            segments.push(segment.to_vec());
            rest = after;
        }
        segments
    }

    /// The client does something.
    pub(super) fn client_does(&mut self, conn: ConnId, input: Input) {
        match self.chance.order() {
            Order::Fixed => {
                self.deliver(conn, input);
                self.run();
            }
            Order::Seeded(_) => self.send(conn, Duration::ZERO, input),
        }
    }

    /// In the fixed order, what was caused happens at once.
    pub(super) fn let_settle(&mut self) {
        if self.chance.order() == Order::Fixed {
            self.run();
        }
    }

    /// The server does something, after its delay.
    pub(super) fn server_does(&mut self, conn: ConnId, input: Input) {
        let at_once = *self.server_delay.end() == Duration::ZERO;
        match self.chance.order() {
            Order::Fixed if at_once => {
                self.deliver(conn, input);
                self.run();
            }
            Order::Fixed => self.server_sends(conn, input),
            Order::Seeded(_) => {
                let endpoint = self.endpoints.entry(conn).or_default();
                match endpoint.upstream {
                    None => endpoint.early.push(input),
                    Some(_) => self.server_sends(conn, input),
                }
            }
        }
    }

    pub(super) fn server_sends(&mut self, conn: ConnId, input: Input) {
        let wait = self.chance.time(&self.server_delay);
        self.send(conn, wait, input);
    }

    /// Puts something on its way, `wait` from now.
    pub(super) fn send(&mut self, conn: ConnId, wait: Duration, input: Input) {
        let endpoint = self.endpoints.entry(conn).or_default();
        let way = input.way(&mut endpoint.ways);
        let due = self.chance.arrival_after(self.now, wait, way);
        self.wire.send(due, conn, input);
    }
}
