//! The sites of a policy.

use super::config::DnsblConfig;
use super::error::{ConfigError, quoted};
use crate::dnsbl::{Site, Zones};

const MAX_SITES: usize = 32;
const MAX_DOMAINS: usize = 16;

/// Reads the sites, and checks what only holds for all of them together.
pub(super) fn read(config: &DnsblConfig, errors: &mut Vec<ConfigError>) -> Zones {
    let before = errors.len();
    let mut sites = Vec::new();
    for (index, text) in config.sites.iter().enumerate() {
        match Site::parse(text) {
            Ok(site) => sites.push(site),
            Err(error) => {
                let path = format!("dnsbl.sites[{index}]");
                let expected = format!("{} at octet {}", error.expected, error.position);
                errors.push(ConfigError::new(&path, &expected, quoted(text)));
            }
        }
    }
    if sites.len() > MAX_SITES {
        let expected = format!("at most {MAX_SITES} sites");
        errors.push(ConfigError::new("dnsbl.sites", &expected, sites.len()));
    }
    let zones = Zones::new(sites);
    if zones.len() > MAX_DOMAINS {
        let expected = format!("at most {MAX_DOMAINS} domains");
        errors.push(ConfigError::new("dnsbl.sites", &expected, zones.len()));
    }
    if errors.len() == before {
        errors.extend(unreachable_threshold(config, &zones));
        errors.extend(unknown_sites(config, &zones));
    }
    zones
}

/// A threshold that no client can ever reach is a mistake, not a policy.
fn unreachable_threshold(config: &DnsblConfig, zones: &Zones) -> Option<ConfigError> {
    let most: i32 = (0..zones.len()).map(|zone| zones.range(zone).1).sum();
    let expected = format!("at most {most}, what all sites together can weigh");
    let beyond = !zones.is_empty() && config.threshold > most;
    beyond.then(|| ConfigError::new("dnsbl.threshold", &expected, config.threshold))
}

fn unknown_sites(config: &DnsblConfig, zones: &Zones) -> Vec<ConfigError> {
    let known = |site: &str| {
        zones
            .domains()
            .any(|domain| domain.eq_ignore_ascii_case(site))
    };
    let named = config.replies.iter().map(|(site, _)| site);
    let unknown = named.filter(|site| !known(site));
    unknown
        .map(|site| {
            let path = format!("dnsbl.replies.{site}");
            ConfigError::new(&path, "a domain of dnsbl.sites", quoted(site))
        })
        .collect()
}
