//! What is remembered of clients, by how many there are.

use crate::{Group, rate};
use criterion::{BatchSize, Criterion, Throughput};
use portcullis_core::client::Client;
use portcullis_core::ledger::{
    Account, Entry, Evicted, Heard, News, Remember, Row, Slot, Terms, Unknown, number_of,
};
use portcullis_core::policy::Policy;
use portcullis_core::worker::{Roster, Seat};
use std::net::Ipv4Addr;
use std::rc::Rc;

/// Seconds since the Unix epoch.
const NOW: u32 = 1_700_000_000;
/// From one client to the next: far apart, and every one in its turn.
const STRIDE: usize = 7919;

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger");
    for entries in [1_000, 100_000] {
        slots(&mut group, entries);
        roster(&mut group, entries);
        unknown(&mut group, entries);
    }
    rejected(&mut group);
}

pub(crate) fn clients(policy: &Policy, count: usize) -> Vec<Client> {
    let first = u32::from(Ipv4Addr::new(198, 18, 0, 0));
    let addresses = (first..).take(count).map(Ipv4Addr::from);
    addresses
        .map(|address| policy.client(address.into()))
        .collect()
}

/// What goes round so many entries.
struct Round {
    at: usize,
    entries: usize,
}

impl Round {
    fn of(entries: usize) -> Self {
        Self { at: 0, entries }
    }

    fn next(&mut self) -> usize {
        self.at = (self.at + STRIDE) % self.entries;
        self.at
    }
}

/// The host's shared data.
struct Shared {
    slots: Vec<Vec<u8>>,
    terms: Terms,
}

impl Shared {
    fn new(policy: &Policy) -> Self {
        Self {
            slots: vec![Vec::new(); policy.config().ledger.slots as usize],
            terms: policy.terms(),
        }
    }

    fn number_of(&self, client: Client) -> usize {
        number_of(client, self.slots.len() as u32).unwrap() as usize
    }

    fn get(&self, client: Client) -> Option<Entry> {
        Slot::decode(&self.slots[self.number_of(client)]).get(client)
    }

    /// One recipient more was delivered, nobody else forgotten for it; how many octets are written.
    fn deliver(&mut self, client: Client, now: u32) -> usize {
        let news = News {
            delivered: 1,
            ..News::default()
        };
        let number = self.number_of(client);
        let mut slot = Slot::decode(&self.slots[number]);
        let posted = slot.post(client, news, now, &self.terms);
        assert!(posted.entry.delivered() >= 1 && posted.evicted == Evicted::Nothing);
        self.slots[number] = slot.encode();
        self.slots[number].len()
    }
}

/// As a worker asks and tells all others, but for the host's own time.
fn slots(group: &mut Group<'_>, entries: usize) {
    let policy = Policy::read(b"{}").unwrap();
    let clients = clients(&policy, entries);
    let mut shared = Shared::new(&policy);
    for client in &clients {
        shared.deliver(*client, NOW);
    }
    let used = shared.slots.iter().filter(|slot| !slot.is_empty()).count();
    let octets = shared.slots.iter().map(Vec::len).sum::<usize>() / used;
    let mut round = Round::of(entries);
    group.throughput(rate(1, octets));
    group.bench_function(format!("look up, {entries} clients"), |bench| {
        bench.iter(|| {
            let entry = shared.get(clients[round.next()]).unwrap();
            assert_eq!(entry.delivered(), 1);
        });
    });
    let mut now = NOW;
    group.bench_function(format!("tell news, {entries} clients"), |bench| {
        bench.iter(|| {
            now += 1;
            shared.deliver(clients[round.next()], now)
        });
    });
    let kept = clients
        .iter()
        .filter(|client| shared.get(**client).is_some());
    assert_eq!(kept.count(), entries);
}

/// A session of one more client begins and ends, while all others have one.
fn roster(group: &mut Group<'_>, entries: usize) {
    let policy = Policy::read(b"{}").unwrap();
    let watch = Rc::new(policy.watch());
    watch.tell_time(NOW);
    let clients = clients(&policy, entries + 1);
    let account = |client| {
        Some(Rc::new(Account::new(
            client,
            Entry::default(),
            watch.clone(),
        )))
    };
    let mut roster = Roster::default();
    for client in &clients[..entries] {
        let seat = roster.begin(*client, 1_u32, Some(20), || account(*client));
        assert!(matches!(seat, Seat::Taken(Some(_))));
    }
    let newcomer = clients[entries];
    group.throughput(Throughput::Elements(1));
    group.bench_function(format!("begin and end, {entries} clients"), |bench| {
        bench.iter(|| {
            let seat = roster.begin(newcomer, 2, Some(20), || account(newcomer));
            assert!(matches!(seat, Seat::Taken(Some(_))));
            assert!(roster.end(newcomer, 2).is_some());
        });
    });
    assert_eq!(roster.clients(), entries);
}

/// Names that the server does not know.
fn unknown(group: &mut Group<'_>, entries: usize) {
    let name = |number: usize| format!("user{number}@example.test").into_bytes();
    let names: Vec<_> = (0..2 * entries).map(name).collect();
    let (known, others) = names.split_at(entries);
    let mut unknown = Unknown::new(Remember::Permanent, 300, entries as u32);
    for name in known {
        unknown.hear(name, Heard::Unknown, NOW);
    }
    let mut round = Round::of(entries);
    group.throughput(Throughput::Elements(1));
    group.bench_function(
        format!("name that is remembered, {entries} names"),
        |bench| {
            bench.iter(|| {
                let heard = unknown.get(&known[round.next()], NOW);
                assert_eq!(heard, Some(Heard::Unknown));
            });
        },
    );
    group.bench_function(format!("name that is not, {entries} names"), |bench| {
        bench.iter(|| assert_eq!(unknown.get(&others[round.next()], NOW), None));
    });
    // In two rounds, so that each name is forgotten when it comes again.
    let mut round = Round::of(2 * entries);
    group.bench_function(
        format!("name in place of another, {entries} names"),
        |bench| {
            bench.iter(|| {
                unknown.hear(&names[round.next()], Heard::Unknown, NOW);
                assert_eq!(unknown.len(), entries);
            });
        },
    );
}

/// A worker hears of one more unknown recipient: who asked, what it was, whether it is an attack.
fn rejected(group: &mut Group<'_>) {
    let policy = Policy::read(b"{}").unwrap();
    let watch = Rc::new(policy.watch());
    watch.tell_time(NOW);
    let clients = clients(&policy, 1000);
    let names: Vec<_> = (0..1000)
        .map(|number| format!("user{number}@example.test").into_bytes())
        .collect();
    let mut round = Round::of(1000);
    group.throughput(Throughput::Elements(1));
    group.bench_function("unknown recipient, 1000 clients", |bench| {
        bench.iter_batched(
            || {
                let at = round.next();
                let account = Account::new(clients[at], Entry::default(), watch.clone());
                (at, account)
            },
            |(at, account)| {
                assert_eq!(account.rejected(Row::Next), None);
                watch.heard(clients[at], Some(&names[at]), Heard::Unknown);
                assert!(watch.remembered() > 0);
                account
            },
            BatchSize::SmallInput,
        );
    });
}
