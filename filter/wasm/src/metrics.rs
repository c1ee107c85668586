//! The metrics of one worker; the host adds the workers up.

use crate::host;
use portcullis_core::dnsbl::Zones;
use portcullis_core::metrics::{FAMILIES, Family, Kind, Tag};
use portcullis_core::policy::Counts;
use portcullis_core::session::{Commands, Exemption, Note};
use portcullis_core::smtp::Verb;
use proxy_wasm::types::MetricType;

/// The host's numbers for all metrics, a family behind the other. A host that refuses one goes
/// without: mail matters more.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    ids: Vec<Option<u32>>,
    /// Where each family begins.
    firsts: Vec<usize>,
    kept: Kept,
    /// Entries in this worker's tables as the host knows of them.
    tables: [i64; 3],
    /// Sites that this worker uses as the host knows of them.
    sites: Vec<i64>,
}

/// What happens in every session, not yet counted: one call each would be one for every line of
/// mail.
#[derive(Debug, Default)]
struct Kept {
    /// In the order of the verbs' names.
    commands: [u32; Verb::NAMES.len()],
    sessions: u32,
    /// Sessions that began, less those that ended.
    open: i64,
    accepted: u32,
    messages: u32,
}

impl Metrics {
    /// Defines all of them, so that each is there before anything happens.
    pub(crate) fn new(zones: &Zones) -> Self {
        let mut metrics = Self::default();
        for family in FAMILIES {
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            metrics.firsts.push(metrics.ids.len());
            let mut define = |value: &str| {
                let id = host::define_metric(kind, &family.full_name(value));
                metrics.ids.push(id.ok());
            };
            match family.tag {
                Tag::None => define(""),
                Tag::Word(_, words) => words.iter().for_each(|word| define(word)),
                Tag::Site => zones.domains().for_each(define),
            }
        }
        metrics.sites = vec![0; zones.len()];
        metrics
    }

    fn id(&self, family: Family, index: usize) -> Option<u32> {
        let first = self.firsts.get(family as usize)?;
        self.ids.get(first + index).copied().flatten()
    }

    /// Adds to the metric of a family that has only one.
    pub(crate) fn count(&self, family: Family, by: u32) {
        self.count_at(family, 0, by);
    }

    /// Adds to the metric of a site, or of a word by its place.
    pub(crate) fn count_at(&self, family: Family, index: usize, by: u32) {
        if by > 0
            && let Some(id) = self.id(family, index)
        {
            let _ = host::add_to_metric(id, by.into());
        }
    }

    /// Adds one to the metric of this word.
    pub(crate) fn count_word(&self, family: Family, word: &str) {
        let words = FAMILIES.get(family as usize).map(|family| family.tag);
        if let Some(Tag::Word(_, words)) = words
            && let Some(index) = words.iter().position(|known| *known == word)
        {
            self.count_at(family, index, 1);
        }
    }

    /// One more, or one less, on a gauge.
    pub(crate) fn step(&self, gauge: Family, by: i64) {
        self.step_at(gauge, 0, by);
    }

    fn step_at(&self, gauge: Family, index: usize, by: i64) {
        if by != 0
            && let Some(id) = self.id(gauge, index)
        {
            let _ = host::add_to_metric(id, by);
        }
    }

    /// Tells how many entries this worker's tables have now.
    pub(crate) fn tell_tables(&mut self, tables: [usize; 3]) {
        let tables = tables.map(|entries| i64::try_from(entries).unwrap_or(i64::MAX));
        let told = std::mem::replace(&mut self.tables, tables);
        for (index, (now, before)) in tables.into_iter().zip(told).enumerate() {
            self.step_at(Family::Tables, index, now - before);
        }
    }

    /// Tells which sites this worker uses now; none behind the last one that is told.
    pub(crate) fn tell_sites(&mut self, in_use: impl Iterator<Item = bool>) {
        let mut in_use = in_use.fuse();
        let mut sites = std::mem::take(&mut self.sites);
        for (index, told) in sites.iter_mut().enumerate() {
            let now = in_use.next().unwrap_or_default().into();
            let before = std::mem::replace(told, now);
            self.step_at(Family::DnsblSites, index, now - before);
        }
        self.sites = sites;
    }

    /// Sets a gauge, or adds a sample to a histogram.
    pub(crate) fn record(&self, family: Family, index: usize, value: u64) {
        if let Some(id) = self.id(family, index) {
            let _ = host::record_metric(id, value);
        }
    }

    /// A session has begun.
    pub(crate) fn session_began(&mut self) {
        self.kept.sessions = self.kept.sessions.saturating_add(1);
        self.kept.open = self.kept.open.saturating_add(1);
    }

    /// A session is over.
    pub(crate) fn session_ended(&mut self) {
        self.kept.open = self.kept.open.saturating_sub(1);
    }

    /// Commands were read.
    pub(crate) fn keep_commands(&mut self, commands: &Commands) {
        commands.add_to(&mut self.kept.commands);
    }

    /// Counts what was kept in mind.
    pub(crate) fn count_kept(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        for (index, count) in kept.commands.into_iter().enumerate() {
            self.count_at(Family::Commands, index, count);
        }
        self.count(Family::Sessions, kept.sessions);
        self.step(Family::Open, kept.open);
        self.count(Family::Accepted, kept.accepted);
        self.count(Family::Messages, kept.messages);
    }

    /// Counts what a session did since it was last counted; what is good is kept in mind.
    pub(crate) fn count_progress(&mut self, before: &Counts, now: &Counts) {
        let kept = &mut self.kept;
        for (count, before, now) in [
            (&mut kept.accepted, before.accepted, now.accepted),
            (&mut kept.messages, before.messages, now.messages),
        ] {
            *count = count.saturating_add(now.saturating_sub(before));
        }
        for (family, before, now) in [
            (Family::Rejected, before.rejected, now.rejected),
            (Family::Answered, before.answered, now.answered),
            (Family::Wasted, before.wasted, now.wasted),
        ] {
            self.count(family, now.saturating_sub(before));
        }
    }

    /// Counts what a session notes.
    pub(crate) fn count_note(&self, note: &Note) {
        let (family, word) = match note {
            Note::Closed(verdict) => (Family::Closed, verdict.rule.name()),
            Note::Refused(verdict) => (Family::Refused, verdict.rule.name()),
            Note::Detained(verdict) => (Family::Detained, verdict.rule.name()),
            Note::Observed(verdict) => (Family::Observed, verdict.rule.name()),
            Note::Exempt(Exemption::Authenticated) => (Family::Exempt, "authenticated"),
            Note::Exempt(Exemption::Verified) => (Family::Exempt, "verified"),
            Note::StartTls => return self.count(Family::StartTls, 1),
            Note::BehindStartTls => return self.count(Family::BehindStartTls, 1),
            Note::Exempt(Exemption::Network) => (Family::Exempt, "network"),
            Note::Opaque(cause) => (Family::Opaque, cause.name()),
        };
        self.count_word(family, word);
    }
}
