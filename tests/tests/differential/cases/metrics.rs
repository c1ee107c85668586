//! Counters, gauges, histograms.

use crate::case::{Case, On, client, open};
use crate::hostcalls::{
    Argument, COUNTER, GAUGE, HISTOGRAM, define_metric, get_metric, get_metric_of,
    increment_metric, increment_metric_of, record_metric, record_metric_of,
};

pub(crate) fn cases() -> Vec<Case> {
    let unknown = [400, 401, 402, 403];
    vec![
        Case::new("metric_counter")
            .on(
                On::NewConnection,
                [
                    define_metric(COUNTER, "metric_counter.a"),
                    get_metric(),
                    increment_metric(3),
                    increment_metric(0),
                    increment_metric(-1),
                    get_metric(),
                    record_metric(4),
                    get_metric(),
                ],
            )
            .steps([open(), client("x")]),
        Case::new("metric_gauge")
            .on(
                On::NewConnection,
                [
                    define_metric(GAUGE, "metric_gauge.a"),
                    get_metric(),
                    record_metric(9),
                    increment_metric(-2),
                    increment_metric(0),
                    get_metric(),
                    record_metric(4),
                    increment_metric(1),
                    get_metric(),
                ],
            )
            .steps([open(), client("x")]),
        Case::new("metric_histogram")
            .on(
                On::NewConnection,
                [
                    define_metric(HISTOGRAM, "metric_histogram.a"),
                    record_metric(9),
                    increment_metric(1),
                    get_metric(),
                ],
            )
            .steps([open(), client("x")]),
        Case::new("metric_defined_again")
            .on(
                On::NewConnection,
                [
                    define_metric(COUNTER, "metric_defined_again.a"),
                    increment_metric(1),
                    define_metric(COUNTER, "metric_defined_again.a"),
                    increment_metric(1),
                    get_metric(),
                    define_metric(GAUGE, "metric_defined_again.b"),
                    define_metric(COUNTER, "metric_defined_again.c"),
                    define_metric(HISTOGRAM, "metric_defined_again.d"),
                    define_metric(GAUGE, "metric_defined_again.e"),
                    define_metric(3, "metric_defined_again.f"),
                ],
            )
            .steps([open(), client("x")]),
        Case::new("metric_unknown")
            .on(
                On::NewConnection,
                unknown.map(|id| get_metric_of(Argument::Number(id))),
            )
            .on(
                On::NewConnection,
                unknown.map(|id| increment_metric_of(id, 1)),
            )
            .on(On::NewConnection, unknown.map(|id| record_metric_of(id, 1)))
            .steps([open(), client("x")]),
        Case::new("metric_gauge_below_nothing")
            .on(
                On::NewConnection,
                [
                    define_metric(GAUGE, "metric_gauge_below_nothing.a"),
                    increment_metric(-2),
                    get_metric(),
                    increment_metric(5),
                    get_metric(),
                ],
            )
            .steps([open(), client("x")]),
    ]
}
