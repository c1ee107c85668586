//! Shared data and shared queues.

use crate::case::{Case, On, client, open};
use crate::hostcalls::{
    dequeue, dequeue_nowhere, enqueue, enqueue_nowhere, get_shared, register_queue, resolve_queue,
    set_shared, swap_shared,
};

pub(crate) fn cases() -> Vec<Case> {
    [data(), queues()].into_iter().flatten().collect()
}

fn data() -> Vec<Case> {
    vec![
        Case::new("shared_set_and_get")
            .on(
                On::NewConnection,
                [
                    get_shared("key"),
                    set_shared("key", "value", 0),
                    get_shared("key"),
                    set_shared("key", "", 0),
                    get_shared("key"),
                    set_shared("", "of no name", 0),
                    get_shared(""),
                ],
            )
            .on(On::DownstreamData, [get_shared("key")])
            .steps([open(), client("x")]),
        Case::new("shared_compare_and_swap")
            .on(
                On::NewConnection,
                [
                    set_shared("key", "a new key is never compared", 1_000_000),
                    get_shared("key"),
                    swap_shared("key", "second"),
                    swap_shared("key", "the number is stale"),
                    get_shared("key"),
                    swap_shared("key", "third"),
                    set_shared("key", "0 compares nothing", 0),
                    swap_shared("key", "stale again"),
                    get_shared("key"),
                ],
            )
            .steps([open(), client("x")]),
        Case::new("shared_two_connections")
            .on_nth(
                On::DownstreamData,
                1,
                [set_shared("key", "of the first", 0)],
            )
            .on_nth(
                On::DownstreamData,
                2,
                [get_shared("key"), swap_shared("key", "of the second")],
            )
            .on_nth(On::DownstreamData, 3, [get_shared("key")])
            .steps([
                open(),
                open().of(1),
                client("x"),
                client("y").of(1),
                client("z"),
            ]),
    ]
}

fn queues() -> Vec<Case> {
    vec![
        Case::new("queue_wakes_for_each_item")
            .on(
                On::NewConnection,
                [register_queue("q"), enqueue("one"), enqueue("two")],
            )
            .on(On::QueueReady, [dequeue()])
            .steps([open(), client("x")]),
        Case::new("queue_drained_at_once")
            .on(
                On::NewConnection,
                [register_queue("q"), enqueue("one"), enqueue("two")],
            )
            .on_nth(On::QueueReady, 1, [dequeue(), dequeue(), dequeue()])
            .on_nth(On::QueueReady, 2, [dequeue()])
            .steps([open(), client("x")]),
        Case::new("queue_fed_by_its_own_callback")
            .on(On::NewConnection, [register_queue("q"), enqueue("one")])
            .on_nth(
                On::QueueReady,
                1,
                [dequeue(), enqueue("two"), dequeue(), enqueue("three")],
            )
            .on_nth(On::QueueReady, 2, [dequeue()])
            .steps([open(), client("x")]),
        Case::new("queue_of_nobody")
            .on(
                On::NewConnection,
                [
                    enqueue_nowhere("x"),
                    dequeue_nowhere(),
                    resolve_queue("", "nobody's"),
                    resolve_queue("nobody", "nobody's"),
                ],
            )
            .steps([open(), client("x")]),
        Case::new("queue_resolved")
            .on(
                On::NewConnection,
                [
                    register_queue("q"),
                    resolve_queue("", "q"),
                    resolve_queue("other", "q"),
                    resolve_queue("queue_resolved", "q"),
                    enqueue("by its name"),
                ],
            )
            .on(On::QueueReady, [dequeue()])
            .steps([open(), client("x")]),
        Case::new("queue_with_empty_items")
            .on(
                On::NewConnection,
                [register_queue(""), enqueue(""), dequeue(), dequeue()],
            )
            .steps([open(), client("x")]),
        Case::new("queue_registered_twice")
            .on(
                On::NewConnection,
                [
                    register_queue("q"),
                    enqueue("one"),
                    register_queue("q"),
                    enqueue("two"),
                ],
            )
            .on(On::QueueReady, [dequeue()])
            .steps([open(), client("x")]),
    ]
}
