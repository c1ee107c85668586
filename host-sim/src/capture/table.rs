//! The connections of a capture, as far as they are known.

use std::net::SocketAddr;

use lru::LruCache;

use super::conversation::{Beginning, Conversation, Event, Happening};
use super::frame::Packet;
use super::stream::{PIECE, Piece, Stream};
use super::{Limits, Options};
use crate::clock::Timestamp;
use crate::scenario::{FillKind, Segment, Side};

/// After so many more packets of its connection, what was acknowledged and not
/// captured counts as lost: captures can show packets in another order.
const PATIENCE: u32 = 3;

/// Both ends, the smaller address first.
type Ends = (SocketAddr, SocketAddr);

/// All connections, the one heard last at the front.
pub(super) struct Table {
    slots: LruCache<Ends, Slot>,
    ports: Vec<u16>,
    limits: Limits,
    kept: usize,
    opened: u64,
}

enum Slot {
    Live(Box<Tracked>),
    /// Handed over already; what comes late is nothing new.
    Over,
}

/// A connection that has not ended.
struct Tracked {
    conversation: Conversation,
    client: Option<Stream>,
    server: Option<Stream>,
    /// Octets of its events, and what it takes to keep them.
    kept: usize,
    /// Packets since octets were acknowledged that were not captured.
    overdue: u32,
    reset: bool,
}

impl Table {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            slots: LruCache::unbounded(),
            ports: options.ports.clone(),
            limits: options.limits,
            kept: 0,
            opened: 0,
        }
    }

    /// Takes in a packet; gives the connections that it ends, or drives out.
    pub(super) fn packet(&mut self, at: Timestamp, packet: &Packet<'_>) -> Vec<Conversation> {
        let ends = (packet.from.min(packet.to), packet.from.max(packet.to));
        let mut over = Vec::new();
        let opens = packet.syn && packet.ack.is_none();
        if opens && self.is_another(&ends, packet) {
            over.extend(self.close(&ends));
            self.slots.pop(&ends);
        }
        match self.slots.get_mut(&ends) {
            Some(Slot::Over) => return over,
            Some(Slot::Live(_)) => {}
            // What ends a connection unknown says nothing.
            None if !packet.syn && packet.payload.is_empty() => return over,
            None => self.open(ends, at, packet),
        }
        if let Some(Slot::Live(tracked)) = self.slots.get_mut(&ends) {
            let before = tracked.kept();
            tracked.packet(at, packet, &self.limits);
            self.kept = (self.kept + tracked.kept()).saturating_sub(before);
            if tracked.has_ended() {
                over.extend(self.close(&ends));
            }
        }
        over.extend(self.make_room());
        over
    }

    /// Gives what has not ended, in the order of opening.
    pub(super) fn finish(mut self) -> Vec<Conversation> {
        let mut over = Vec::new();
        while let Some((_, slot)) = self.slots.pop_lru() {
            over.extend(slot.into_conversation());
        }
        over.sort_by_key(|conversation| conversation.number);
        over
    }

    /// Whether a SYN begins another connection between ends already known.
    fn is_another(&self, ends: &Ends, packet: &Packet<'_>) -> bool {
        match self.slots.peek(ends) {
            None => false,
            Some(Slot::Over) => true,
            Some(Slot::Live(tracked)) => !tracked.began_with(packet),
        }
    }

    fn open(&mut self, ends: Ends, at: Timestamp, packet: &Packet<'_>) {
        self.opened += 1;
        let from_client = match (packet.syn, packet.ack) {
            (true, None) => true,
            (true, Some(_)) => false,
            (false, _) if self.serves(packet.to) => true,
            (false, _) if self.serves(packet.from) => false,
            // Servers have the lower ports.
            (false, _) => packet.to.port() <= packet.from.port(),
        };
        let (client, server) = match from_client {
            true => (packet.from, packet.to),
            false => (packet.to, packet.from),
        };
        let beginning = match packet.syn {
            true => Beginning::Captured,
            false => Beginning::Missed,
        };
        let conversation = Conversation {
            number: self.opened,
            client,
            server,
            started: at,
            beginning,
            events: Vec::new(),
            lost: 0,
            retransmitted: 0,
            conflicting: 0,
            cut: false,
        };
        let tracked = Tracked {
            conversation,
            client: None,
            server: None,
            kept: 0,
            overdue: 0,
            reset: false,
        };
        self.slots.put(ends, Slot::Live(Box::new(tracked)));
    }

    fn serves(&self, end: SocketAddr) -> bool {
        self.ports.contains(&end.port())
    }

    /// Hands a connection over, and remembers that it is over.
    fn close(&mut self, ends: &Ends) -> Option<Conversation> {
        let slot = self.slots.get_mut(ends)?;
        let ended = std::mem::replace(slot, Slot::Over);
        self.kept = self.kept.saturating_sub(ended.kept());
        ended.into_conversation()
    }

    /// Gives up those unheard for longest while there are too many, or they are too much.
    fn make_room(&mut self) -> Vec<Conversation> {
        let mut over = Vec::new();
        while self.slots.len() > self.limits.connections || self.kept > self.limits.octets {
            let Some((_, slot)) = self.slots.pop_lru() else {
                break;
            };
            self.kept = self.kept.saturating_sub(slot.kept());
            over.extend(slot.into_conversation().map(|mut conversation| {
                conversation.cut = true;
                conversation
            }));
        }
        over
    }
}

impl Slot {
    fn kept(&self) -> usize {
        match self {
            Self::Live(tracked) => tracked.kept(),
            Self::Over => 0,
        }
    }

    fn into_conversation(self) -> Option<Conversation> {
        match self {
            Self::Live(tracked) => Some(tracked.finish()),
            Self::Over => None,
        }
    }
}

impl Tracked {
    fn kept(&self) -> usize {
        let waiting = |stream: &Option<Stream>| stream.as_ref().map_or(0, Stream::waiting);
        self.kept + waiting(&self.client) + waiting(&self.server)
    }

    /// Whether this SYN is the one that opened it, once more.
    fn began_with(&self, packet: &Packet<'_>) -> bool {
        packet.from == self.conversation.client
            && self
                .client
                .as_ref()
                .is_none_or(|stream| stream.began_with(packet.seq))
    }

    fn has_ended(&self) -> bool {
        let ended = |stream: &Option<Stream>| stream.as_ref().is_some_and(Stream::has_ended);
        self.reset || (ended(&self.client) && ended(&self.server))
    }

    fn packet(&mut self, at: Timestamp, packet: &Packet<'_>, limits: &Limits) {
        let side = match packet.from == self.conversation.client {
            true => Side::Client,
            false => Side::Server,
        };
        let seq = packet.seq.wrapping_add(u32::from(packet.syn));
        let (here, there) = match side {
            Side::Client => (&mut self.client, &mut self.server),
            Side::Server => (&mut self.server, &mut self.client),
        };
        let stream = here.get_or_insert_with(|| Stream::new(seq));
        stream.write(seq, packet.payload);
        if packet.fin {
            let sent = packet.payload.len() + packet.missing;
            // No packet is longer than 32 bits can count.
            let sent = u32::try_from(sent).unwrap_or(u32::MAX);
            stream.end(seq.wrapping_add(sent));
        }
        let mut pieces = stream.take();
        while stream.waiting() > limits.waiting {
            pieces.extend(stream.give_up_next());
        }
        if let Some(ack) = packet.ack {
            // Who acknowledges octets never seen was there before the capture.
            let other = there.get_or_insert_with(|| Stream::new(ack));
            other.acknowledge(ack);
        }
        self.give_up_overdue(at, limits);
        self.add(at, side, pieces, limits);
        if packet.rst && !self.reset {
            self.reset = true;
            self.add_event(at, side, Happening::Reset, limits);
        }
    }

    /// Gives up what was acknowledged long ago, so that what follows is not late.
    fn give_up_overdue(&mut self, at: Timestamp, limits: &Limits) {
        let lacks =
            |stream: &Option<Stream>| stream.as_ref().is_some_and(Stream::lacks_acknowledged);
        if !lacks(&self.client) && !lacks(&self.server) {
            self.overdue = 0;
            return;
        }
        self.overdue += 1;
        if self.overdue <= PATIENCE {
            return;
        }
        for side in [Side::Client, Side::Server] {
            let stream = match side {
                Side::Client => &mut self.client,
                Side::Server => &mut self.server,
            };
            let pieces = stream.as_mut().map(Stream::give_up_acknowledged);
            self.add(at, side, pieces.unwrap_or_default(), limits);
        }
    }

    fn add(&mut self, at: Timestamp, side: Side, pieces: Vec<Piece>, limits: &Limits) {
        for piece in pieces {
            let happening = match piece {
                Piece::Bytes(bytes) => Happening::Sent(bytes.into()),
                Piece::Lost(octets) => {
                    let mut segment = Segment::default();
                    if segment.push_fill(FillKind::Lost, octets).is_err() {
                        self.conversation.cut = true;
                        continue;
                    }
                    Happening::Sent(segment)
                }
                Piece::End => Happening::Ended,
            };
            self.add_event(at, side, happening, limits);
        }
    }

    fn add_event(&mut self, at: Timestamp, side: Side, happening: Happening, limits: &Limits) {
        let octets = match &happening {
            Happening::Sent(segment) => segment.bytes().len(),
            Happening::Ended | Happening::Reset => 0,
        };
        // How it ended is worth its place always.
        if octets > 0 && self.kept + octets + PIECE > limits.octets_per_connection {
            self.conversation.cut = true;
        }
        if self.conversation.cut && octets > 0 {
            return;
        }
        self.kept += octets + PIECE;
        let events = &mut self.conversation.events;
        // A capture's clock may be set back.
        let latest = events
            .last()
            .map_or_else(Default::default, |event| event.at);
        let at = at.since(self.conversation.started).max(latest);
        events.push(Event {
            at,
            side,
            happening,
        });
    }

    fn finish(mut self) -> Conversation {
        let limits = Limits {
            octets_per_connection: usize::MAX,
            ..Limits::default()
        };
        let events = &self.conversation.events;
        let latest = events
            .last()
            .map_or_else(Default::default, |event| event.at);
        let last = self.conversation.started.after(latest);
        let reset = match self.reset {
            true => self.conversation.events.pop(),
            false => None,
        };
        for side in [Side::Client, Side::Server] {
            let stream = match side {
                Side::Client => &mut self.client,
                Side::Server => &mut self.server,
            };
            let Some(stream) = stream else { continue };
            let pieces = stream.give_up_all();
            let odd = stream.oddities;
            self.conversation.lost += odd.lost;
            self.conversation.retransmitted += odd.again;
            self.conversation.conflicting += odd.different;
            self.conversation.cut |= odd.torn;
            self.add(last, side, pieces, &limits);
        }
        self.conversation.events.extend(reset);
        self.conversation
    }
}
