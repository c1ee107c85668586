//! The DNS blacklists of an attack.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clients;
use super::plan::Plan;
use crate::callouts::HttpRequest;
use crate::resolver::{Found, LISTED, Lists};

/// How long an answer takes, and how many seconds it holds.
const DELAY: Duration = Duration::from_millis(20);
const TTL: u32 = 300;

/// Lists that know the plan's share of the bots, and nobody else. They count what they are asked.
pub(super) struct Blacklists {
    share: u8,
    domains: Vec<String>,
    asked: Arc<AtomicU64>,
}

impl Blacklists {
    pub(super) fn of(plan: &Plan, asked: Arc<AtomicU64>) -> Self {
        Self {
            share: plan.blacklisted,
            domains: plan.blacklists.clone(),
            asked,
        }
    }

    /// Whether this list knows the client.
    fn know(&self, client: IpAddr, list: &str) -> bool {
        let IpAddr::V4(client) = client else {
            return false;
        };
        let mut domains = self.domains.iter();
        let is_meant = self.domains.is_empty() || domains.any(|domain| list.ends_with(domain));
        // Addresses are scattered, so any part of one is as good as a draw.
        let [_, _, c, d] = client.octets();
        let drawn = u16::from_be_bytes([c, d]) % 100;
        is_meant && clients::is_bot(client) && drawn < u16::from(self.share)
    }
}

impl Lists for Blacklists {
    fn find(&mut self, client: IpAddr, list: &str, _: &HttpRequest) -> Found {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Found {
            codes: vec![LISTED; usize::from(self.know(client, list))],
            text: None,
            after: DELAY,
            ttl: TTL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_know_their_share_of_the_bots() {
        let lists = Blacklists {
            share: 30,
            domains: vec!["bl.example.test".to_owned()],
            asked: Arc::default(),
        };
        let known = |list: &str| {
            let bots = (0..10_000).map(clients::bot);
            bots.filter(|address| lists.know(*address, list)).count()
        };
        let bots = known("bl.example.test");
        assert!((2800..3200).contains(&bots), "{bots}");
        assert_eq!(known("wl.example.test"), 0);
        assert!(!lists.know(clients::honest(1), "bl.example.test"));
    }
}
