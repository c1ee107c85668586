//! Counters by name, defined with the host when first counted.

use crate::host;
use hashbrown::HashMap;
use portcullis_core::policy::Counts;
use portcullis_core::session::{Exemption, Note};

/// The counters of one worker; the host adds the workers up.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    ids: HashMap<String, u32>,
}

impl Metrics {
    /// Adds to a counter. A host that refuses metrics goes without: mail matters more.
    pub(crate) fn count(&mut self, name: &str, by: u32) {
        if by == 0 {
            return;
        }
        let id = match self.ids.get(name) {
            Some(id) => *id,
            None => {
                let Ok(id) = host::define_counter(name) else {
                    return;
                };
                self.ids.insert(name.to_owned(), id);
                id
            }
        };
        let _ = host::add_to_counter(id, by);
    }

    /// Counts what a session did since it was last counted.
    pub(crate) fn count_progress(&mut self, before: &Counts, now: &Counts) {
        for (name, before, now) in [
            ("accepted", before.accepted, now.accepted),
            ("rejected", before.rejected, now.rejected),
            ("answered", before.answered, now.answered),
        ] {
            let name = format!("portcullis_recipients_{name}_total");
            self.count(&name, now.saturating_sub(before));
        }
        self.count(
            "portcullis_wasted_transactions_total",
            now.wasted.saturating_sub(before.wasted),
        );
        self.count(
            "portcullis_messages_total",
            now.messages.saturating_sub(before.messages),
        );
    }

    /// Counts what a session notes.
    pub(crate) fn count_note(&mut self, note: &Note) {
        let plain = |rule: &str| rule.replace('.', "_");
        let name = match note {
            Note::Closed(verdict) => {
                format!("portcullis_closed_{}_total", plain(verdict.rule.name()))
            }
            Note::Refused(verdict) => {
                format!("portcullis_refused_{}_total", plain(verdict.rule.name()))
            }
            Note::Detained(verdict) => {
                format!("portcullis_detained_{}_total", plain(verdict.rule.name()))
            }
            Note::Observed(verdict) => {
                format!("portcullis_observed_{}_total", plain(verdict.rule.name()))
            }
            Note::Exempt(Exemption::Authenticated) => {
                "portcullis_exempt_authenticated_total".to_owned()
            }
            Note::Exempt(Exemption::Verified) => "portcullis_exempt_verified_total".to_owned(),
            Note::StartTls => "portcullis_starttls_total".to_owned(),
            Note::BehindStartTls => "portcullis_starttls_injected_total".to_owned(),
            Note::Exempt(Exemption::Network) => "portcullis_exempt_network_total".to_owned(),
            Note::Opaque(cause) => format!("portcullis_opaque_{}_total", cause.name()),
        };
        self.count(&name, 1);
    }
}
