//! Slots of the host's shared data: read and written whole. Those of the ledger hold clients with
//! their counts and listings; those of the lookups are reached by a claim, which reads one and
//! writes it again, and hold claims here, without findings.

use crate::{Group, rate};
use criterion::Criterion;
use portcullis_core::client::Client;
use portcullis_core::ledger::{self, News, Reason, Slot};
use portcullis_core::policy::Policy;
use portcullis_core::worker::{self, Lookups, Now};
use std::rc::Rc;
use std::time::Duration;

const NOW: u32 = 1_700_000_000;

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("slot");
    for entries in [6, ledger::MAX_ENTRIES] {
        codec(&mut group, entries);
    }
    claim(&mut group);
}

/// Every other one of IPv6.
fn clients(policy: &Policy, count: usize) -> Vec<Client> {
    let address = |number: usize| match number % 2 {
        0 => format!("203.0.113.{number}").parse().unwrap(),
        _ => format!("2001:db8:0:{number:x}::1").parse().unwrap(),
    };
    let addresses = (0..count).map(address);
    addresses.map(|address| policy.client(address)).collect()
}

/// Every third client is listed.
fn codec(group: &mut Group<'_>, entries: usize) {
    let policy = Policy::read(b"{}").unwrap();
    let clients = clients(&policy, entries);
    let mut slot = Slot::default();
    for (number, client) in clients.iter().enumerate() {
        let news = News {
            delivered: 3,
            fault: (number % 3 == 0).then_some(Reason::Trap),
            ..News::default()
        };
        let posted = slot.post(*client, news, NOW, &policy.terms());
        assert_eq!(posted.listed.is_some(), number % 3 == 0);
    }
    let octets = slot.encode();
    assert_eq!(Slot::decode(&octets), slot);
    let last = clients[entries - 1];
    group.throughput(rate(entries as u64, octets.len()));
    group.bench_function(format!("read, {entries} clients"), |bench| {
        bench.iter(|| {
            let read = Slot::decode(&octets);
            assert!(read.get(last).is_some());
            read
        });
    });
    group.bench_function(format!("write, {entries} clients"), |bench| {
        bench.iter(|| {
            let written = slot.encode();
            assert_eq!(written.len(), octets.len());
            written
        });
    });
}

/// A worker claims once more what it claims already, in a full slot.
fn claim(group: &mut Group<'_>) {
    let policy = br#"{ "dnsbl": { "sites": ["a.test", "b.test", "c.test", "d.test"] } }"#;
    let policy = Rc::new(Policy::read(policy).unwrap());
    let clients = clients(&policy, worker::MAX_ENTRIES);
    let lookups = Lookups::<u32>::new(policy);
    let now = Now {
        wall: Duration::from_secs(NOW.into()),
        steady: Duration::from_secs(1),
    };
    let mut slot = Vec::new();
    for client in &clients {
        (_, slot) = lookups.claim(*client, &slot, 7, now);
    }
    let last = clients[clients.len() - 1];
    group.throughput(rate(clients.len() as u64, slot.len()));
    group.bench_function("claim, 8 clients at 4 sites", |bench| {
        bench.iter(|| {
            let (claim, written) = lookups.claim(last, &slot, 7, now);
            assert_eq!(written, slot);
            claim
        });
    });
}
