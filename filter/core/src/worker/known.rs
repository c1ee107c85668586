//! What is known of one client, site by site, and what it adds up to.

use super::health::Standing;
use crate::dnsbl::Zones;
use crate::policy::{Listed, Listing};
use std::net::Ipv4Addr;

/// Codes kept of one answer.
pub(super) const MAX_CODES: usize = 8;
/// Seconds no finding is believed for longer: the highest `dnsbl.ttl.max_s`.
const LONGEST: u32 = 86_400;

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

    /// Only what is still believed. A clock set back must not keep a finding for longer than any
    /// may be kept.
    pub(super) fn fresh(mut self, now: u32, longest: u32) -> Self {
        for finding in &mut self.0 {
            finding.take_if(|finding| !finding.is_fresh(now, longest));
        }
        self
    }

    /// What a zone said.
    pub(super) fn get(&self, zone: usize) -> Option<&Finding> {
        self.0.get(zone)?.as_ref()
    }

    pub(super) fn set(&mut self, zone: usize, finding: Finding) {
        if let Some(place) = self.0.get_mut(zone) {
            *place = Some(finding);
        }
    }

    /// Takes over what `other` knows for longer, or knows at all.
    pub(super) fn merge(&mut self, other: Self, now: u32) {
        let worth = |finding: &Option<Finding>| {
            let finding = finding.as_ref();
            let fresh = finding.filter(|finding| finding.is_fresh(now, LONGEST));
            fresh.map(|finding| (finding.says != Says::Nothing, finding.until))
        };
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            if worth(&theirs) > worth(mine) {
                *mine = theirs;
            }
        }
    }

    /// Until when anything of it is believed.
    pub(super) fn until(&self, now: u32) -> u32 {
        let findings = self.0.iter().flatten();
        let fresh = findings.filter(|finding| finding.is_fresh(now, LONGEST));
        fresh.map(|finding| finding.until).max().unwrap_or(0)
    }
}

impl Finding {
    fn is_fresh(&self, now: u32, longest: u32) -> bool {
        let left = self.until.checked_sub(now);
        left.is_some_and(|left| left > 0 && left <= longest)
    }
}

/// The arithmetic of postscreen: weights add up, a site counts once. A zone that fails counts as
/// if it spoke for the client: an allow-list that cannot be reached must hurt nobody it knows. What
/// it said before it failed still counts. One that the test points show to be no list counts for
/// nothing.
pub(super) fn sum(
    zones: &Zones,
    threshold: i32,
    known: &Known,
    standing: impl Fn(usize) -> Standing,
) -> Sum {
    let (mut least, mut most) = (0i32, 0i32);
    // The weightiest first.
    let mut sites: Vec<Listed> = Vec::new();
    for zone in 0..zones.len() {
        let (lowest, highest) = zones.range(zone);
        let (low, high) = match (standing(zone), known.get(zone)) {
            (Standing::Unfit(unfit), _) if unfit.is_no_list() => (0, 0),
            (Standing::Fit, None) => (lowest, highest),
            (Standing::Untested | Standing::Unfit(_), None) => (lowest, lowest),
            (_, Some(finding)) => match &finding.says {
                Says::Unlisted => (0, 0),
                Says::Nothing => (lowest, lowest),
                Says::Listed(codes) => {
                    let weight = zones.weight_of(zone, codes);
                    if weight != 0 {
                        let heavier = |site: &Listed| site.weight >= weight;
                        let at = sites.partition_point(heavier);
                        let site = Listed {
                            site: zones.domain(zone).to_owned(),
                            codes: codes.clone(),
                            weight,
                        };
                        sites.insert(at, site);
                    }
                    (weight, weight)
                }
            },
        };
        least = least.saturating_add(low);
        most = most.saturating_add(high);
    }
    if least >= threshold {
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
