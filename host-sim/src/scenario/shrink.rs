//! A failing scenario made as small as it can be and still fail.

use super::{Action, Scenario, Segment, Step};

/// How many smaller scenarios are tried at most.
const MOST_TRIES: usize = 10_000;

/// Makes a scenario smaller as long as `fails` says that it still fails: takes
/// steps away, then times, then octets of what is written. Of the result nothing
/// of these can be taken away alone. Marks for octets left out become octets.
/// Gives up after 10,000 tries.
///
/// ```
/// use portcullis_host_sim::scenario::{Scenario, shrink};
///
/// let scenario: Scenario = "0.5 S> 220 mx\nC> EHLO a\n0.7 C> RSET\nC|\n".parse()?;
/// // A real one would play it.
/// let fails = |smaller: &Scenario| smaller.to_string().contains("RS");
/// assert!(shrink(&scenario, fails).to_string().ends_with("\n\nC> RS\\\n"));
/// # Ok::<(), portcullis_host_sim::scenario::ScenarioError>(())
/// ```
#[must_use]
pub fn shrink(scenario: &Scenario, mut fails: impl FnMut(&Scenario) -> bool) -> Scenario {
    let mut smallest = scenario.clone();
    let mut tries = 0;
    let mut fails = |smaller: &Scenario| {
        tries += 1;
        tries <= MOST_TRIES && fails(smaller)
    };
    loop {
        let before = smallest.clone();
        let steps = smallest.steps.clone();
        smallest.steps = fewest(steps, |steps| {
            let smaller = Scenario {
                steps: steps.to_vec(),
                ..smallest.clone()
            };
            fails(&smaller)
        });
        for index in 0..smallest.steps.len() {
            let mut untimed = smallest.clone();
            if let Some(step) = untimed.steps.get_mut(index) {
                step.at = None;
            }
            if untimed != smallest && fails(&untimed) {
                smallest = untimed;
            }
            let Some(written) = smallest.steps.get(index).and_then(written) else {
                continue;
            };
            let octets = fewest(written, |octets| {
                let mut smaller = smallest.clone();
                write(&mut smaller, index, octets);
                fails(&smaller)
            });
            write(&mut smallest, index, &octets);
        }
        if smallest == before {
            return smallest;
        }
    }
}

fn written(step: &Step) -> Option<Vec<u8>> {
    match &step.action {
        Action::Write(_, segment) => Some(segment.bytes().to_vec()),
        _ => None,
    }
}

fn write(scenario: &mut Scenario, index: usize, octets: &[u8]) {
    if let Some(step) = scenario.steps.get_mut(index)
        && let Action::Write(_, segment) = &mut step.action
        && segment.bytes() != octets
    {
        *segment = Segment::from(octets);
    }
}

/// The fewest of these items that still fail: ever smaller runs of them are left out.
fn fewest<T: Clone>(items: Vec<T>, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut kept = items;
    let mut run = kept.len();
    while run > 0 {
        let mut at = 0;
        while at < kept.len() {
            let rest = kept.iter().take(at).chain(kept.iter().skip(at + run));
            let fewer: Vec<T> = rest.cloned().collect();
            if fails(&fewer) {
                kept = fewer;
            } else {
                at += run;
            }
        }
        run /= 2;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_goes() {
        let hundred: Vec<u8> = (0..100).collect();
        let needs = |items: &[u8]| items.contains(&7) && items.contains(&40);
        assert_eq!(fewest(hundred.clone(), needs), [7, 40]);
        assert!(fewest(hundred.clone(), |_| true).is_empty());
        assert_eq!(fewest(hundred.clone(), |_| false), hundred);
    }

    #[test]
    fn tries_are_counted() {
        let scenario: Scenario = "C*2000 NOOP {n}\n".parse().unwrap();
        let mut tries = 0;
        let _smallest = shrink(&scenario, |_| {
            tries += 1;
            false
        });
        assert_eq!(tries, MOST_TRIES);
    }
}
