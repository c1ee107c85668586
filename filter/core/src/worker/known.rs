//! What is known of one client, site by site, and what it adds up to.

use super::health::{Standing, Unfit};
use crate::dnsbl::Zones;
use crate::policy::{Listed, Listing};
use std::net::Ipv4Addr;

/// Codes kept of one answer.
pub(super) const MAX_CODES: usize = 8;

/// What one zone said of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) says: Says,
    /// Seconds since the Unix epoch up to which it is believed.
    pub(super) until: u32,
}

/// What a zone says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Says {
    /// The client is not on it.
    Unlisted,
    /// It is; at most [`MAX_CODES`] addresses.
    Listed(Vec<Ipv4Addr>),
    /// Nothing that could be used.
    Nothing,
}

/// What is known of one client, by zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known(pub(super) Vec<Option<Finding>>);

/// What the findings add up to so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sum {
    /// Enough, whatever is still to come.
    Listed(Listing),
    /// Not enough, whatever is still to come.
    Clear,
    /// It depends on what is still to come.
    Open,
}

impl Known {
    pub(super) fn nothing(zones: &Zones) -> Self {
        Self(vec![None; zones.len()])
    }

    /// What a zone said, as long as it is believed. A clock set back must not keep a finding for
    /// longer than any may be kept.
    pub(super) fn fresh(&self, zone: usize, now: u32, longest: u32) -> Option<&Finding> {
        let finding = self.0.get(zone)?.as_ref()?;
        let left = finding.until.checked_sub(now)?;
        (left > 0 && left <= longest).then_some(finding)
    }

    pub(super) fn set(&mut self, zone: usize, finding: Finding) {
        if let Some(place) = self.0.get_mut(zone) {
            *place = Some(finding);
        }
    }

    /// Takes over what `other` knows for longer.
    pub(super) fn merge(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            let until = |finding: &Option<Finding>| finding.as_ref().map(|finding| finding.until);
            if until(&theirs) > until(mine) {
                *mine = theirs;
            }
        }
    }

    /// Until when anything of it is believed.
    pub(super) fn until(&self) -> u32 {
        let findings = self.0.iter().flatten();
        findings.map(|finding| finding.until).max().unwrap_or(0)
    }
}

/// The arithmetic of postscreen: weights add up, a site counts once. A zone that fails counts as
/// if it spoke for the client: an allow-list that cannot be reached must hurt nobody it knows.
/// One that the test points show to be no list counts for nothing.
pub(super) fn sum<'a>(
    zones: &Zones,
    threshold: i32,
    finding: impl Fn(usize) -> Option<&'a Finding>,
    standing: impl Fn(usize) -> Standing,
) -> Sum {
    let (mut least, mut most) = (0i32, 0i32);
    let mut sites = Vec::new();
    for zone in 0..zones.len() {
        let (lowest, highest) = zones.range(zone);
        let (low, high) = match (standing(zone), finding(zone)) {
            (Standing::Fit, None) => (lowest, highest),
            (Standing::Fit, Some(finding)) => match &finding.says {
                Says::Unlisted => (0, 0),
                Says::Nothing => (lowest, lowest),
                Says::Listed(codes) => {
                    let weight = zones.weight_of(zone, codes);
                    if weight != 0 {
                        sites.push(Listed {
                            site: zones.domain(zone).to_owned(),
                            codes: codes.clone(),
                            weight,
                        });
                    }
                    (weight, weight)
                }
            },
            (Standing::Untested | Standing::Unfit(Unfit::Failing(_)), _) => (lowest, lowest),
            (Standing::Unfit(_), _) => (0, 0),
        };
        least = least.saturating_add(low);
        most = most.saturating_add(high);
    }
    if least >= threshold {
        sites.sort_by_key(|site| std::cmp::Reverse(site.weight));
        Sum::Listed(Listing {
            total: sites.iter().map(|site| site.weight).sum(),
            sites,
            text: None,
        })
    } else if most < threshold {
        Sum::Clear
    } else {
        Sum::Open
    }
}
