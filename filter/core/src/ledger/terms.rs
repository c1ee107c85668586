//! What makes a listing.

/// Why a client is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Unknown recipients in a row, over all its sessions.
    Streak,
    /// Unknown recipients in all, over all its sessions.
    Score,
    /// A recipient that never existed.
    Trap,
    /// Somebody else says so: another guard, or the postmaster.
    Told,
}

impl Reason {
    /// Its name for logs, metrics and other guards.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Streak => "ledger.streak",
            Self::Score => "ledger.max_score",
            Self::Trap => "traps.recipients",
            Self::Told => "told",
        }
    }

    /// The reason of that name; any other is somebody else's.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let ours = [Self::Streak, Self::Score, Self::Trap];
        let mut ours = ours.into_iter();
        ours.find(|reason| reason.name() == name)
            .unwrap_or(Self::Told)
    }

    pub(super) fn encode(self) -> u8 {
        match self {
            Self::Streak => 1,
            Self::Score => 2,
            Self::Trap => 3,
            Self::Told => 4,
        }
    }

    pub(super) fn decode(octet: u8) -> Option<Self> {
        let all = [Self::Streak, Self::Score, Self::Trap, Self::Told];
        all.into_iter().find(|reason| reason.encode() == octet)
    }
}

/// What of an [`super::Entry`] makes a listing, and what makes good standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Unknown recipients in a row that list a client.
    pub streak: Option<u32>,
    /// Unknown recipients in all that list it.
    pub score: Option<u32>,
    /// But only with more than this many of them for each hundred delivered ones.
    pub ratio_percent: u32,
    /// Delivered recipients that make a client known for good mail.
    pub min_delivered: Option<u32>,
    /// Seconds in which unknown recipients come to count half.
    pub half_life: u32,
    /// Seconds in which delivered ones do.
    pub delivered_half_life: u32,
    /// Seconds of a first listing.
    pub first: u32,
    /// Seconds of the longest one.
    pub longest: u32,
}
