//! Zones: sites that share a domain, and so one question (as in postscreen(8)).

use super::Site;
use std::net::Ipv4Addr;

/// Sites by their domain, in the order in which each domain came first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zones(Vec<Zone>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Zone {
    domain: String,
    sites: Vec<Site>,
}

impl Zones {
    /// Joins the sites of each domain.
    #[must_use]
    pub fn new(sites: Vec<Site>) -> Self {
        let mut zones: Vec<Zone> = Vec::new();
        for site in sites {
            let known = zones.iter_mut().find(|zone| zone.domain == site.domain());
            match known {
                Some(zone) => zone.sites.push(site),
                None => zones.push(Zone {
                    domain: site.domain().to_owned(),
                    sites: vec![site],
                }),
            }
        }
        Self(zones)
    }

    /// How many questions one client takes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no one to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The domain of the zone with index `zone`; empty where there is no such zone.
    #[must_use]
    pub fn domain(&self, zone: usize) -> &str {
        self.0.get(zone).map_or("", |zone| &zone.domain)
    }

    /// All domains, by index.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|zone| zone.domain.as_str())
    }

    /// What an answer of `codes` adds to a client's score: the weights of those sites of the zone
    /// that match at least one code. An empty answer adds 0.
    #[must_use]
    pub fn weight_of(&self, zone: usize, codes: &[Ipv4Addr]) -> i32 {
        let matching = |site: &&Site| codes.iter().any(|code| site.matches(*code));
        sum(self.sites(zone).iter().filter(matching))
    }

    /// The lowest and the highest sum an answer of this zone can give: no answer goes beyond
    /// them, and being listed nowhere, which gives 0, lies between.
    #[must_use]
    pub fn range(&self, zone: usize) -> (i32, i32) {
        let sites = self.sites(zone);
        // Sites without a filter match all listings, so they come together or not at all.
        let always = sum(sites.iter().filter(|site| !site.is_filtered()));
        let filtered = || sites.iter().filter(|site| site.is_filtered());
        let lower = sum(filtered().filter(|site| site.weight() < 0));
        let higher = sum(filtered().filter(|site| site.weight() > 0));
        (
            always.saturating_add(lower).min(0),
            always.saturating_add(higher).max(0),
        )
    }

    fn sites(&self, zone: usize) -> &[Site] {
        self.0.get(zone).map_or(&[], |zone| &zone.sites)
    }
}

fn sum<'a>(sites: impl Iterator<Item = &'a Site>) -> i32 {
    sites.fold(0, |sum, site| sum.saturating_add(site.weight()))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn zones(sites: &[&str]) -> Zones {
        let sites = sites.iter().map(|text| Site::parse(text).unwrap());
        Zones::new(sites.collect())
    }

    fn codes(last: &[u8]) -> Vec<Ipv4Addr> {
        let code = |octet: &u8| Ipv4Addr::new(127, 0, 0, *octet);
        last.iter().map(code).collect()
    }

    #[test]
    fn one_question_for_each_domain_in_order_of_first_mention() {
        let zones = zones(&[
            "b.test*2",
            "a.test",
            "B.test.=127.0.0.9*3",
            "c.test",
            "a.test",
        ]);
        assert_eq!(
            zones.domains().collect::<Vec<_>>(),
            ["b.test", "a.test", "c.test"]
        );
        assert_eq!((zones.len(), zones.is_empty()), (3, false));
        assert_eq!((zones.domain(1), zones.domain(3)), ("a.test", ""));
        assert!(Zones::default().is_empty());
    }

    #[test]
    fn each_matching_site_counts_once() {
        let zones = zones(&[
            "a.test=127.0.0.[2..4]*3",
            "a.test=127.0.0.4*5",
            "a.test=127.0.0.9*-2",
            "b.test*7",
            "c.test*1",
            "c.test*1",
        ]);
        for (zone, listed, weight) in [
            (0, &[][..], 0),
            (0, &[1], 0),
            (0, &[2], 3),
            (0, &[2, 3], 3),
            (0, &[4], 8),
            (0, &[9, 2], 1),
            (0, &[9], -2),
            (1, &[], 0),
            (1, &[77, 78], 7),
            (2, &[2], 2),
            (3, &[2], 0),
        ] {
            assert_eq!(
                zones.weight_of(zone, &codes(listed)),
                weight,
                "{zone} {listed:?}"
            );
        }
    }

    #[test]
    fn a_range_holds_all_that_can_come() {
        for (sites, range) in [
            (&["a.test*3"][..], (0, 3)),
            (&["a.test*-3"], (-3, 0)),
            (&["a.test=127.0.0.2*3", "a.test=127.0.0.3*-4"], (-4, 3)),
            (&["a.test*3", "a.test=127.0.0.3*-2"], (0, 3)),
            (&["a.test*3", "a.test=127.0.0.3*-5"], (-2, 3)),
            (&["a.test*-3", "a.test=127.0.0.3*1"], (-3, 0)),
            (&["a.test*3", "a.test*-3"], (0, 0)),
        ] {
            assert_eq!(zones(sites).range(0), range, "{sites:?}");
        }
        assert_eq!(Zones::default().range(0), (0, 0));
    }
}
