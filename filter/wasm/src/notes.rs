//! What sessions and lookups have to tell, logged and counted.

use crate::metrics::Metrics;
use portcullis_core::client::Client;
use portcullis_core::dnsbl::Zones;
use portcullis_core::ledger::{Alert, Listing};
use portcullis_core::metrics::Family;
use portcullis_core::policy::Verdict;
use portcullis_core::session::{Note, Session};
use portcullis_core::worker::{LookupNote, Ruling, Standing, Told};

/// Tells what a session notes.
pub(crate) fn tell(metrics: &Metrics, session: &Session, notes: &[Note]) {
    for note in notes {
        metrics.count_note(note);
        log_note(note, session);
    }
}

fn log_note(note: &Note, session: &Session) {
    let client = match session.client() {
        Some(client) => client.to_string(),
        None => "unknown".to_owned(),
    };
    match note {
        Note::Closed(verdict) => log_verdict(&client, "close", verdict),
        Note::Refused(verdict) => log_verdict(&client, "refuse", verdict),
        Note::Detained(verdict) => log_verdict(&client, "detain", verdict),
        Note::Observed(verdict) => log_verdict(&client, "observe", verdict),
        Note::Opaque(cause) if cause.is_desync() => {
            log::warn!(
                "client={client} dialogue no longer followed: {}",
                cause.name()
            );
        }
        Note::BehindStartTls => {
            log::warn!("client={client} plaintext behind STARTTLS dropped");
        }
        Note::Opaque(_) | Note::Exempt(_) | Note::StartTls => {}
    }
}

fn log_verdict(client: &str, act: &str, verdict: &Verdict) {
    let counts = &verdict.counts;
    log::info!(
        "client={client} verdict={act} rule={} tried={} accepted={} rejected={} consecutive={} \
         wasted={}",
        verdict.rule.name(),
        counts.tried,
        counts.accepted,
        counts.rejected,
        counts.consecutive,
        counts.wasted
    );
}

/// Tells of a new listing.
pub(crate) fn tell_listing(metrics: &Metrics, client: Client, listing: Listing) {
    let Listing {
        until,
        reason,
        times,
    } = listing;
    let reason = reason.name();
    metrics.count_word(Family::Listed, reason);
    metrics.step(Family::Listings, 1);
    log::info!("client={client} verdict=list rule={reason} until={until} times={times}");
}

/// Tells that an attack has begun or is over.
pub(crate) fn tell_alert(metrics: &Metrics, alert: Alert) {
    match alert {
        Alert::Attack => {
            metrics.count(Family::AttacksBegun, 1);
            metrics.step(Family::Attack, 1);
            log::warn!("an attack is under way: limits are tightened");
        }
        Alert::Calm => {
            metrics.count(Family::AttacksOver, 1);
            metrics.step(Family::Attack, -1);
            log::warn!("the attack is over");
        }
    }
}

/// Tells what the lookups note.
pub(crate) fn tell_lookup(metrics: &Metrics, zones: &Zones, note: LookupNote) {
    let count = |family, zone| metrics.count_at(family, zone, 1);
    match note {
        LookupNote::Asked(zone) => count(Family::DnsblQuestions, zone),
        LookupNote::Tested(zone) => count(Family::DnsblTests, zone),
        LookupNote::Listed(zone) => count(Family::DnsblListed, zone),
        LookupNote::Unlisted(zone) => count(Family::DnsblUnlisted, zone),
        LookupNote::Failed(zone, fault) => {
            count(Family::DnsblErrors, zone);
            let fault = fault.name();
            metrics.count_word(Family::DnsblFaults, fault);
            log::debug!("dnsbl site={} error={fault}", zones.domain(zone));
        }
        LookupNote::Standing(zone, standing) => {
            let site = zones.domain(zone);
            match standing {
                Standing::Fit => {
                    count(Family::DnsblSiteOn, zone);
                    log::info!("dnsbl site={site} is in use");
                }
                Standing::Untested => {}
                Standing::Unfit(unfit) => {
                    count(Family::DnsblSiteOff, zone);
                    log::error!("dnsbl site={site} is not asked: {}", unfit.name());
                }
            }
        }
    }
}

/// Counts a ruling that took no question.
pub(crate) fn count_told(metrics: &Metrics, told: Told) {
    let how = match told {
        Told::Reserved => "reserved",
        Told::Remembered => "remembered",
        Told::Joined => "joined",
        Told::NoSite => "no_site",
        Told::Full => "skipped",
    };
    metrics.count_word(Family::DnsblTold, how);
}

/// Counts a ruling that came too late.
pub(crate) fn count_ruling(metrics: &Metrics, ruling: &Ruling) {
    if *ruling == Ruling::OverBudget {
        metrics.count(Family::DnsblOverBudget, 1);
    }
}
