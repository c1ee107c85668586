//! The ledger, piece by piece.

mod account;
mod attack;
mod entry;
mod slot;

use super::{Detector, Entry, Signs, Terms, Watch};
use crate::client::{Client, Prefixes};
use std::rc::Rc;

/// The default policy's.
const TERMS: Terms = Terms {
    streak: Some(5),
    score: Some(10),
    ratio_percent: 50,
    min_delivered: Some(20),
    half_life: 3600,
    delivered_half_life: 604_800,
    first: 3600,
    longest: 86_400,
};

const SIGNS: Signs = Signs {
    enter_percent: 50,
    leave_percent: 20,
    min_rejected: 10,
    clients_per_name: Some(3),
    hold: 300,
};

const NOW: u32 = 1_790_000_000;

fn client(address: &str) -> Client {
    let prefixes = Prefixes { ipv4: 32, ipv6: 64 };
    prefixes.client(address.parse().unwrap())
}

/// The `n`-th of a hundred thousand IPv4 clients, and as many IPv6 ones.
fn nth(n: u32) -> Client {
    match n {
        0..100_000 => client(&std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string()),
        _ => {
            let address = (0x2001_0db8_u128 << 96) + (u128::from(n) << 64);
            client(&std::net::Ipv6Addr::from(address).to_string())
        }
    }
}

fn entry(rejected: u32, streak: u32, delivered: u32) -> Entry {
    let mut entry = Entry::default().at(NOW, &TERMS);
    entry.reject(rejected);
    entry.deliver(delivered);
    entry.streak = streak as f32;
    entry
}

fn watch() -> Rc<Watch> {
    let watch = Watch::new(TERMS, TERMS, Some(Detector::new(SIGNS)), None);
    watch.tell_time(NOW);
    Rc::new(watch)
}
