//! What the ledger goes by.

use super::Policy;
use super::config::{AnswerMode, DetectMode};
use crate::ledger::{Detector, Remember, Signs, Terms, Unknown, Watch};

impl Policy {
    /// Whether anything is remembered of clients.
    #[must_use]
    pub fn remembers(&self) -> bool {
        self.config().ledger.slots > 0
    }

    /// What the sessions of one worker have in common.
    #[must_use]
    pub fn watch(&self) -> Watch {
        let config = self.config();
        let attack = &config.attack;
        let signs = Signs {
            enter_percent: attack.enter_percent,
            leave_percent: attack.leave_percent,
            min_rejected: attack.min_rejected,
            clients_per_name: attack.clients_per_name,
            hold: attack.hold_s,
        };
        let remember = match config.unknown.answer {
            AnswerMode::Permanent => Some(Remember::Permanent),
            AnswerMode::All => Some(Remember::All),
            AnswerMode::Off => None,
        };
        let unknown = &config.unknown;
        Watch::new(
            self.terms(),
            self.attack_terms(),
            (attack.detect == DetectMode::On).then(|| Detector::new(signs)),
            remember.map(|which| Unknown::new(which, unknown.ttl_s, unknown.recipients)),
        )
    }

    /// What makes a listing on calm days.
    #[must_use]
    pub fn terms(&self) -> Terms {
        let config = self.config();
        let ledger = &config.ledger;
        Terms {
            streak: config.rcpt.max_consecutive,
            score: ledger.max_score,
            ratio_percent: ledger.ratio_percent,
            min_delivered: ledger.standing.min_delivered,
            half_life: ledger.half_life_s,
            delivered_half_life: ledger.standing.half_life_s,
            first: ledger.listing.first_s,
            longest: ledger.listing.max_s,
        }
    }

    /// What makes one while an attack is under way.
    fn attack_terms(&self) -> Terms {
        let calm = self.terms();
        let attack = &self.config().attack;
        Terms {
            streak: attack.max_consecutive.or(calm.streak),
            score: attack.max_score.or(calm.score),
            ..calm
        }
    }
}
