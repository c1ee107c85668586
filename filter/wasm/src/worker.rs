//! What the root and the connections of one worker share.

use crate::connection::Connection;
use crate::fleet::Fleet;
use crate::host;
use crate::ledger;
use crate::metrics::Metrics;
use crate::notes;
use hashbrown::HashMap;
use portcullis_core::client::Client;
use portcullis_core::ledger::{Alert, Survey, Watch};
use portcullis_core::metrics::Family;
use portcullis_core::policy::{LookupMode, Policy};
use portcullis_core::session::{Session, Shelf};
use portcullis_core::worker::{Closing, Lookups, Now, Roster, Ruling, Timers, Wait, crew};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// How often connections are looked at that are to be closed soon.
const FASTEST: Duration = Duration::from_millis(5);
/// How long a session whose client was listed waits for the reply in whose place it is told.
const SOON: Duration = Duration::from_millis(10);
/// How often connections that linger or are held are looked at while there are any.
const FAST: Duration = Duration::from_millis(20);
/// How often the store that guards share is thought of.
const MEDIUM: Duration = Duration::from_millis(100);
/// Handshakes that are waited for beyond twice the connections there are, before those are left out
/// that are done.
const SPARE_HANDSHAKES: usize = 256;
/// How often everything else is looked at: DNSBL sites due for a test, attacks.
const SLOW: Duration = Duration::from_secs(1);

/// What a connection asks of its worker, to be done outside the connection's own callback: a
/// close inside it would overtake the last word, and bytes put back inside it would be sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errand {
    /// Close the connection.
    Close(u32),
    /// Put the bytes that did not fit back into the host's buffer.
    Restore(u32),
    /// Begin the lookups that wait for it: the root has to be the one who asks.
    LookUp,
    /// Another worker has found out about a client.
    Published(Client),
    /// Let the connection go on with what waited for other sessions of its client.
    GoOn(u32),
    /// A client is listed: end its sessions.
    Listed(Client),
}

impl Errand {
    pub(crate) fn encode(self) -> Vec<u8> {
        let message = |kind, rest: &[u8]| [&[kind], rest].concat();
        match self {
            Self::Close(id) => message(b'c', &id.to_le_bytes()),
            Self::Restore(id) => message(b'r', &id.to_le_bytes()),
            Self::LookUp => message(b'l', b""),
            Self::Published(client) => message(b'p', &client.encode()),
            Self::GoOn(id) => message(b'g', &id.to_le_bytes()),
            Self::Listed(client) => message(b's', &client.encode()),
        }
    }

    /// `None` for what no connection or worker of ours has written.
    pub(crate) fn decode(message: &[u8]) -> Option<Self> {
        let (kind, rest) = message.split_first()?;
        let client = || Client::decode(rest.try_into().ok()?);
        let id = || rest.try_into().ok().map(u32::from_le_bytes);
        match kind {
            b'c' => id().map(Self::Close),
            b'r' => id().map(Self::Restore),
            b'l' => rest.is_empty().then_some(Self::LookUp),
            b'p' => client().map(Self::Published),
            b'g' => id().map(Self::GoOn),
            b's' => client().map(Self::Listed),
            _ => None,
        }
    }
}

/// A connection whose client is being looked up.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) session: Rc<RefCell<Session>>,
    pub(crate) wait: Wait,
    /// The time at which it began to wait.
    pub(crate) since: Duration,
}

/// A question under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) ticket: u32,
    pub(crate) zone: usize,
    /// The time at which it was sent.
    pub(crate) at: Duration,
}

/// Whether the machine has ever had a connection: Envoy makes some that never have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Serving {
    #[default]
    No,
    Yes,
}

/// Whether TLS has started on a connection and its client has said nothing since.
fn is_silent(connections: &HashMap<u32, Rc<Connection>>, id: u32) -> bool {
    let connection = connections.get(&id);
    // One whose session is at work is the one that was just told to start.
    connection.is_some_and(|connection| {
        let session = connection.session().try_borrow();
        session.map_or(true, |session| session.awaits_handshake())
    })
}

/// What is to be done at some time; connections by their id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Later {
    /// Its commands have waited long enough.
    Read(u32),
    /// The next answer of the guard's own dialogue is due.
    Answer(u32),
    /// That dialogue has lasted long enough.
    LetGo(u32),
    /// So many recipients of a client are no longer being asked about.
    Release(Client, u32),
}

/// One worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) policy: Rc<Policy>,
    pub(crate) metrics: Metrics,
    pub(crate) queue: u32,
    /// Memory for what sessions say, where they are written down.
    pub(crate) shelf: Rc<Shelf>,
    pub(crate) lookups: Lookups<u32>,
    pub(crate) roster: Roster<u32>,
    /// All of them.
    pub(crate) connections: HashMap<u32, Rc<Connection>>,
    /// What the sessions have in common, if clients are remembered.
    pub(crate) watch: Option<Rc<Watch>>,
    /// Connections whose client is being looked up.
    pub(crate) waiting: HashMap<u32, Waiting>,
    /// Sessions under way whose client turned out to be known.
    pub(crate) found: Vec<(u32, Ruling)>,
    /// The questions asked, by the host's token.
    pub(crate) calls: HashMap<u32, Asked>,
    closing: Closing<u32>,
    /// Sessions that were told to start TLS.
    handshakes: Closing<u32>,
    /// Sessions whose client was listed, while a reply is owed to them.
    cut: Closing<u32>,
    signed: Option<u32>,
    /// The second in which it last took stock.
    took_stock: u32,
    survey: Survey,
    later: Timers<Later>,
    /// Its dealings with the store that guards share.
    pub(crate) fleet: Option<Fleet>,
    serving: Serving,
    /// Connections kept busy by the guard itself.
    pub(crate) detained: u32,
    /// Time as counted by ticks, so that no clock change can keep a connection open.
    ticked: Duration,
    pace: Duration,
    /// Client bytes, by connection, on their way back into the host's buffer.
    overflow: HashMap<u32, Vec<u8>>,
}

impl Worker {
    pub(crate) fn new(policy: Policy, queue: u32) -> Self {
        let linger = Duration::from_millis(policy.config().close.linger_ms.into());
        let handshake = Duration::from_millis(policy.config().limits.handshake_ms.into());
        let policy = Rc::new(policy);
        let fleet = Fleet::new(&policy, queue);
        let transcripts = policy.config().transcripts.max_worker_bytes as usize;
        Self {
            shelf: Rc::new(Shelf::new(transcripts)),
            lookups: Lookups::new(Rc::clone(&policy)),
            roster: Roster::default(),
            connections: HashMap::new(),
            watch: policy.remembers().then(|| Rc::new(policy.watch())),
            waiting: HashMap::new(),
            found: Vec::new(),
            calls: HashMap::new(),
            metrics: Metrics::new(policy.zones()),
            policy,
            queue,
            closing: Closing::new(linger),
            handshakes: Closing::new(handshake),
            cut: Closing::new(SOON),
            signed: None,
            took_stock: 0,
            survey: Survey::default(),
            later: Timers::default(),
            fleet,
            serving: Serving::default(),
            detained: 0,
            ticked: Duration::ZERO,
            pace: Duration::ZERO,
            overflow: HashMap::new(),
        }
    }

    /// Has an errand done as soon as the running callback is over.
    pub(crate) fn send(&mut self, errand: Errand) {
        if let Err(refused) = host::enqueue(self.queue, &errand.encode()) {
            log::error!("an errand cannot be queued: {refused}");
            self.metrics.count(Family::ErrandsLost, 1);
        }
    }

    /// Closes a connection whose last word is out when its linger time is over.
    pub(crate) fn close_later(&mut self, context_id: u32) {
        if self.policy.config().close.linger_ms == 0 {
            self.send(Errand::Close(context_id));
            return;
        }
        self.closing.add(context_id, self.ticked);
        self.set_pace();
    }

    /// Closes a connection soon, whether the server has answered by then or not.
    pub(crate) fn close_soon(&mut self, context_id: u32) {
        self.cut.add(context_id, self.ticked);
        self.set_pace();
    }

    /// A client was told to start TLS: it has so much time for its first word.
    pub(crate) fn await_handshake(&mut self, context_id: u32) {
        self.handshakes.add(context_id, self.ticked);
        // Most have spoken long before their time is over.
        if self.handshakes.len() > 2 * self.connections.len() + SPARE_HANDSHAKES {
            let connections = &self.connections;
            self.handshakes.retain(|id| is_silent(connections, *id));
        }
        self.set_pace();
    }

    /// The connections whose client was silent for too long.
    fn silent(&mut self) -> Vec<u32> {
        let due = std::iter::from_fn(|| self.handshakes.pop_due(self.ticked));
        let due: Vec<u32> = due.collect();
        let due = due.into_iter();
        let silent: Vec<u32> = due.filter(|id| is_silent(&self.connections, *id)).collect();
        let count = u32::try_from(silent.len()).unwrap_or(u32::MAX);
        self.metrics.count(Family::StartTlsSilent, count);
        silent
    }

    /// Has something done in `wait` milliseconds.
    pub(crate) fn do_later(&mut self, wait: u32, what: Later) {
        let due = self.ticked + Duration::from_millis(wait.into());
        self.later.add(due, what);
        self.set_pace();
    }

    /// Things to do at some time.
    pub(crate) fn timers(&self) -> usize {
        self.later.len()
    }

    /// What is to be done by now.
    pub(crate) fn due(&mut self) -> Vec<Later> {
        std::iter::from_fn(|| self.later.pop_due(self.ticked)).collect()
    }

    /// A connection has come.
    pub(crate) fn serve(&mut self) {
        if self.serving == Serving::No {
            self.serving = Serving::Yes;
            self.set_pace();
        }
    }

    /// Whether connections come here.
    pub(crate) fn serves(&self) -> bool {
        self.serving == Serving::Yes
    }

    /// Tells the time to all sessions, and this worker's to the others.
    pub(crate) fn tell_time(&mut self) {
        let Some(watch) = self.watch.clone() else {
            return;
        };
        let now = self.now().seconds();
        if let Some(alert) = watch.tell_time(now) {
            notes::tell_alert(&self.metrics, alert);
        }
        let due = |signed: u32| now.abs_diff(signed) >= crew::SIGN_EVERY;
        if self.serving == Serving::Yes && self.signed.is_none_or(due) {
            self.signed = Some(now);
            ledger::sign(self.queue, now);
        }
    }

    /// Once a second: counts what was kept to be counted, and part of what all workers remember.
    pub(crate) fn take_stock(&mut self) {
        let Some(now) = self.watch.as_ref().map(|watch| watch.now()) else {
            return self.count_kept();
        };
        if self.took_stock == now {
            return;
        }
        self.took_stock = now;
        self.count_kept();
        let unknown = self.watch.as_ref().map_or(0, |watch| watch.remembered());
        let tables = [self.roster.clients(), self.lookups.remembered(), unknown];
        self.metrics.tell_tables(tables);
        if self.serves() && ledger::surveys(self.queue, now) {
            let slots = self.policy.config().ledger.slots;
            if let Some(census) = ledger::survey(&mut self.survey, slots, now) {
                let set = |family, count: u32| self.metrics.record(family, 0, count.into());
                set(Family::Clients, census.clients);
                set(Family::Listings, census.listings);
                self.metrics.count(Family::Expired, census.expired);
            }
        }
    }

    /// Counts what was kept to be counted, if no tick will.
    pub(crate) fn count_untimed(&mut self) {
        if self.pace.is_zero() {
            self.metrics.count_kept();
        }
    }

    /// Counts what was kept to be counted, and tells which sites are in use.
    fn count_kept(&mut self) {
        self.metrics.count_kept();
        let tally = self.lookups.take_tally();
        for (zone, count) in tally.recalled.into_iter().enumerate() {
            self.metrics.count_at(Family::DnsblRecalled, zone, count);
        }
        let names = self.watch.as_ref().map_or(0, |watch| watch.take_evicted());
        for (table, count) in [tally.evicted, names].into_iter().enumerate() {
            self.metrics.count_at(Family::Evicted, table, count);
        }
        // One without connections asks nobody, and would not notice that a site is gone.
        let serves = self.serves();
        let in_use = self.lookups.in_use().map(|used| used && serves);
        self.metrics.tell_sites(in_use);
    }

    /// Takes note of a tick; the connections whose time has come.
    pub(crate) fn ticked(&mut self) -> Vec<u32> {
        self.ticked += self.pace;
        let now = self.ticked;
        let mut due: Vec<u32> = std::iter::from_fn(|| self.cut.pop_due(now)).collect();
        due.extend(std::iter::from_fn(|| self.closing.pop_due(now)));
        due.extend(self.silent());
        due
    }

    /// Has ticks come as often as they are needed.
    pub(crate) fn set_pace(&mut self) {
        let first = self.pace.is_zero() && self.ticked.is_zero();
        let looks_up = self.policy.lookup() != LookupMode::Off;
        let looks = looks_up || self.watch.is_some();
        let pace = match () {
            () if !self.cut.is_empty() => FASTEST,
            () if !self.closing.is_empty() || !self.later.is_empty() => FAST,
            () if self.lookups.hold_greetings() => FAST,
            // Sites are tested before the first client comes.
            () if self.fleet.is_some() && self.serves() => MEDIUM,
            () if looks_up && first => FAST,
            () if looks || !self.handshakes.is_empty() => SLOW,
            () => Duration::ZERO,
        };
        if pace != self.pace {
            self.pace = pace;
            host::tick_every(pace);
        }
    }

    /// The time.
    pub(crate) fn now(&self) -> Now {
        Now {
            wall: host::wall_clock(),
            steady: self.ticked,
        }
    }

    /// Keeps bytes that neither went on nor fit into the guard.
    pub(crate) fn keep_overflow(&mut self, context_id: u32, bytes: Vec<u8>) {
        self.overflow.insert(context_id, bytes);
        self.send(Errand::Restore(context_id));
    }

    /// Takes these bytes back, if they are still here.
    pub(crate) fn take_overflow(&mut self, context_id: u32) -> Option<Vec<u8>> {
        // There is hardly ever any.
        match self.overflow.is_empty() {
            true => None,
            false => self.overflow.remove(&context_id),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.count_kept();
        self.metrics.tell_tables([0; 3]);
        self.metrics.tell_sites(std::iter::empty());
        let attacked = |watch: &Rc<Watch>| watch.alert() == Alert::Attack;
        if self.watch.as_ref().is_some_and(attacked) {
            self.metrics.step(Family::Attack, -1);
        }
    }
}
