//! Whether a DNSBL site can be relied on: its test points, and how often it failed.

use crate::dnsbl::{Answer, Fault};
use crate::policy::DnsblConfig;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The addresses by which a list can be tested (RFC 5782 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TestPoint {
    /// 127.0.0.2, which every list must have.
    Listed,
    /// 127.0.0.1, which none may have.
    Unlisted,
}

impl TestPoint {
    /// Its address.
    #[must_use]
    pub fn address(self) -> Ipv4Addr {
        match self {
            Self::Listed => Ipv4Addr::new(127, 0, 0, 2),
            Self::Unlisted => Ipv4Addr::LOCALHOST,
        }
    }
}

/// Why a site is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It does not have 127.0.0.2: it is empty, or no list at all.
    ListsNothing,
    /// It has 127.0.0.1: it lists the whole world.
    ListsEverything,
    /// Its answers are no listings, as those of a resolver that answers everything.
    NoList(Fault),
    /// It failed too often.
    Failing(Fault),
}

impl Unfit {
    /// The name for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ListsNothing => "lists_nothing",
            Self::ListsEverything => "lists_everything",
            Self::NoList(fault) | Self::Failing(fault) => fault.name(),
        }
    }

    /// Whether its answers mean nothing, those given before included.
    pub(super) fn is_no_list(self) -> bool {
        !matches!(self, Self::Failing(_))
    }
}

/// How a site stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is asked.
    Fit,
    /// It is not asked: it has not been tested yet.
    Untested,
    /// It is not asked.
    Unfit(Unfit),
}

/// How long between attempts.
#[derive(Debug, Clone, Copy)]
struct Pace {
    failures: u32,
    retry: Duration,
    max_retry: Duration,
    test: Duration,
}

/// One site's health. Times are those of any steady clock.
#[derive(Debug)]
pub(super) struct Health {
    pace: Pace,
    standing: Standing,
    failures: u32,
    retry: Duration,
    /// When it is to be tested next; `None` while a test is under way.
    due: Option<Duration>,
    verdicts: [Option<Verdict>; 2],
}

/// What one test point says of its site.
type Verdict = Result<(), Unfit>;

impl Health {
    pub(super) fn new(config: &DnsblConfig) -> Self {
        let seconds = |count: u32| Duration::from_secs(count.into());
        let pace = Pace {
            failures: config.breaker.failures,
            retry: seconds(config.breaker.retry_s),
            max_retry: seconds(config.breaker.max_retry_s),
            test: seconds(config.self_test_s),
        };
        Self {
            pace,
            standing: Standing::Untested,
            failures: 0,
            retry: pace.retry,
            due: Some(Duration::ZERO),
            verdicts: [None; 2],
        }
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether a test is to begin now; both test points must be asked then.
    pub(super) fn begin_test(&mut self, now: Duration) -> bool {
        let due = self.due.is_some_and(|due| due <= now);
        if due {
            self.due = None;
            self.verdicts = [None; 2];
        }
        due
    }

    /// A test point was answered. The new standing, once both are and it has changed.
    pub(super) fn tested(
        &mut self,
        point: TestPoint,
        answer: &Answer,
        now: Duration,
    ) -> Option<Standing> {
        let verdict = judge(point, answer);
        match point {
            TestPoint::Listed => self.verdicts[0] = Some(verdict),
            TestPoint::Unlisted => self.verdicts[1] = Some(verdict),
        }
        let [Some(listed), Some(unlisted)] = self.verdicts else {
            return None;
        };
        // An answer that is wrong for certain tells more than one that is missing.
        let found = match (listed, unlisted) {
            (Ok(()), Ok(())) => Standing::Fit,
            (_, Err(unfit @ (Unfit::ListsEverything | Unfit::NoList(_)))) => Standing::Unfit(unfit),
            (Err(unfit), _) | (_, Err(unfit)) => Standing::Unfit(unfit),
        };
        self.failures = 0;
        if found == Standing::Fit {
            self.retry = self.pace.retry;
            self.due = Some(now + self.pace.test);
        } else {
            self.try_again(now);
        }
        self.change(found)
    }

    /// A question about a client was answered.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// A question about a client failed. The new standing, if that was once too often.
    pub(super) fn failed(&mut self, fault: Fault, now: Duration) -> Option<Standing> {
        self.failures = self.failures.saturating_add(1);
        if self.failures < self.pace.failures || self.standing != Standing::Fit {
            return None;
        }
        // A test that is under way will tell.
        if self.due.is_some() {
            self.try_again(now);
        }
        self.change(Standing::Unfit(Unfit::Failing(fault)))
    }

    fn try_again(&mut self, now: Duration) {
        self.due = Some(now.saturating_add(self.retry));
        self.retry = self.retry.saturating_mul(2).min(self.pace.max_retry);
    }

    fn change(&mut self, to: Standing) -> Option<Standing> {
        let changed = self.standing != to;
        self.standing = to;
        changed.then_some(to)
    }
}

fn judge(point: TestPoint, answer: &Answer) -> Verdict {
    match (point, answer) {
        (TestPoint::Listed, Answer::Listed { .. }) => Ok(()),
        (TestPoint::Listed, Answer::Unlisted { .. }) => Err(Unfit::ListsNothing),
        (TestPoint::Unlisted, Answer::Unlisted { .. }) => Ok(()),
        (TestPoint::Unlisted, Answer::Listed { .. } | Answer::Failed(Fault::TestPoint)) => {
            Err(Unfit::ListsEverything)
        }
        (_, Answer::Failed(fault @ (Fault::OutsideLoopback | Fault::TestPoint))) => {
            Err(Unfit::NoList(*fault))
        }
        (_, Answer::Failed(fault)) => Err(Unfit::Failing(*fault)),
    }
}
