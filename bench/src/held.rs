//! The bars that the guard is held to. Each compares within one run; those of sizes stand for
//! themselves.

use crate::{
    attack::{BEST, LOOKUPS, REJECTS, Rival},
    bars::{Against, Bar, Sense},
    figures::{
        BDAT_CPU, DATA_CPU, DATA_RATE, KEPT_CPU, LATENCY_P50, LATENCY_P99, Measure, OPAQUE_CPU,
        SINGLE_CPU,
    },
    growth::{IDLE_SESSION, MODULE, OPEN_MEMORY, VM_START},
    options::{Options, Part},
};

const OWN: &str = "portcullis";

/// Those that this run can judge, or should.
#[must_use]
pub fn bars(options: &Options) -> Vec<Bar> {
    let parts = [
        (Part::Wire, wire()),
        (Part::Attack, attack()),
        (Part::Growth, growth()),
    ];
    let wanted = parts.into_iter().filter(|(part, _)| options.wants(*part));
    wanted
        .flat_map(|(part, bars)| bars.into_iter().map(move |bar| (part, bar)))
        // Nobody is chosen for the curves.
        .filter(|(part, bar)| {
            *part == Part::Growth || bar.needs().iter().all(|who| takes_part(options, who))
        })
        .map(|(_, bar)| bar)
        .collect()
}

fn takes_part(options: &Options, who: &str) -> bool {
    who == BEST && options.contestants.is_empty() || options.is_chosen(who)
}

fn wire() -> Vec<Bar> {
    vec![
        at_most(KEPT_CPU, "reader", 1.05),
        at_most(KEPT_CPU, "bare", 1.20),
        at_most(SINGLE_CPU, "reader", 1.10),
        bar(DATA_RATE, Against::Times("bare"), Sense::AtLeast, 0.95),
        below(DATA_CPU, "reader", 1.0),
        at_most(DATA_CPU, "bare", 1.15),
        at_most(BDAT_CPU, "bare", 1.08),
        at_most(OPAQUE_CPU, "bare", 1.08),
        bar(LATENCY_P50, Against::Over("bare"), Sense::Below, 20.0),
        bar(LATENCY_P99, Against::Over("bare"), Sense::Below, 100.0),
        below(KEPT_CPU, "nginx-mail", 1.0),
        below(SINGLE_CPU, "nginx-mail", 1.0),
        // On a kept connection it has nothing to do with the second message.
        below(SINGLE_CPU, "postscreen", 1.0),
        below(KEPT_CPU, "haraka", 1.0),
        below(SINGLE_CPU, "haraka", 1.0),
    ]
}

fn attack() -> Vec<Bar> {
    vec![
        at_most(LOOKUPS, Rival::Bare.name(), 0.01),
        at_most(LOOKUPS, BEST, 1.0 / 3.0),
        bar(REJECTS, Against::Nobody, Sense::AtLeast, 1000.0),
    ]
}

fn growth() -> Vec<Bar> {
    vec![
        bar(IDLE_SESSION, Against::Nobody, Sense::AtMost, 1024.0),
        at_most(OPEN_MEMORY, "bare", 1.1),
        bar(MODULE, Against::Nobody, Sense::AtMost, 300.0),
        bar(VM_START, Against::Nobody, Sense::Below, 50.0),
    ]
}

fn at_most(measure: Measure, other: &'static str, limit: f64) -> Bar {
    bar(measure, Against::Times(other), Sense::AtMost, limit)
}

fn below(measure: Measure, other: &'static str, limit: f64) -> Bar {
    bar(measure, Against::Times(other), Sense::Below, limit)
}

fn bar(measure: Measure, against: Against, sense: Sense, limit: f64) -> Bar {
    Bar {
        measure,
        own: OWN,
        against,
        limit,
        sense,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn judged(arguments: &[&str]) -> usize {
        let all = ["portcullis-bench"].iter().chain(arguments);
        bars(&Options::try_parse_from(all).unwrap()).len()
    }

    #[test]
    fn only_what_is_asked_for_is_judged() {
        assert_eq!(judged(&[]), wire().len() + attack().len() + growth().len());
        assert_eq!(judged(&["--only", "growth"]), growth().len());
        let few = ["--only", "wire", "--contestants", "portcullis,bare"];
        let against_bare = wire()
            .iter()
            .filter(|bar| bar.needs().contains(&"bare"))
            .count();
        assert_eq!(judged(&few), against_bare);
        assert_eq!(
            judged(&["--only", "attack", "--contestants", "portcullis,postfix"]),
            2
        );
    }
}
