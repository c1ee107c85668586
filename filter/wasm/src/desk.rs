//! The DNSBL lookups of one worker: questions out, answers in, connections let on or refused.
//!
//! All of it runs in callbacks of the root context: Envoy gives a response to the context that
//! asked, and that one must outlive the connection.

use crate::door;
use crate::host;
use crate::notes;
use crate::worker::{Asked, Errand, Waiting, Worker};
use portcullis_core::client::Client;
use portcullis_core::dnsbl::{Fault, check_response};
use portcullis_core::metrics::Family;
use portcullis_core::policy::Rule;
use portcullis_core::worker::{Question, Ruling, SlotId, Steps, Wait};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, Status};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// The lookups as the root context sees them.
pub(crate) struct Desk<'a> {
    worker: &'a Rc<RefCell<Worker>>,
    root: u32,
}

impl<'a> Desk<'a> {
    pub(crate) fn new(worker: &'a Rc<RefCell<Worker>>, root: u32) -> Self {
        Self { worker, root }
    }

    /// Begins the lookups that wait for it, and tells what was known already.
    pub(crate) fn begin(&self) {
        let found = std::mem::take(&mut self.worker.borrow_mut().found);
        for (context_id, ruling) in found {
            self.rule(context_id, ruling);
        }
        loop {
            let mut worker = self.worker.borrow_mut();
            let Some((client, slot)) = worker.lookups.next_queued() else {
                return;
            };
            let (now, queue) = (worker.now(), worker.queue);
            let claim = slot.and_then(|slot| {
                host::update_shared(&slot_key(slot), |bytes| {
                    worker.lookups.claim(client, bytes, queue, now)
                })
            });
            let steps = worker.lookups.begin(client, claim, now);
            drop(worker);
            self.carry_out(steps);
        }
    }

    /// Another worker has found out about a client.
    pub(crate) fn published(&self, client: Client) {
        let mut worker = self.worker.borrow_mut();
        let Some(slot) = worker.lookups.slot_of(client) else {
            return;
        };
        let now = worker.now();
        let steps = worker
            .lookups
            .published(client, &host::shared(&slot_key(slot)), now);
        drop(worker);
        self.carry_out(steps);
    }

    /// Time has passed.
    pub(crate) fn tick(&self) {
        let mut worker = self.worker.borrow_mut();
        let now = worker.now();
        let steps = worker.lookups.tick(now);
        worker.set_pace();
        drop(worker);
        self.carry_out(steps);
        self.begin();
    }

    /// A response is at hand. Envoy tells of one that was cut off by giving it no headers.
    pub(crate) fn response(&self, token: u32, headers: usize, body_size: usize) {
        let mut worker = self.worker.borrow_mut();
        let Some(Asked { ticket, zone, at }) = worker.calls.remove(&token) else {
            return;
        };
        let now = worker.now();
        let took = milliseconds(now.wall.saturating_sub(at));
        worker.metrics.record(Family::DnsblLatency, zone, took);
        let status = host::response_header(":status").filter(|_| headers > 0);
        let content_type = host::response_header("content-type");
        let usable = match status {
            Some(status) => check_response(&status, content_type.as_deref(), body_size),
            None => Err(Fault::Unreachable),
        };
        let steps = match usable {
            Ok(()) => {
                let body = host::buffer(BufferType::HttpCallResponseBody);
                worker.lookups.answered(ticket, Ok(&body), now)
            }
            Err(fault) => worker.lookups.answered(ticket, Err(fault), now),
        };
        drop(worker);
        self.carry_out(steps);
        // Those that waited for the sites' first tests.
        self.begin();
    }

    fn carry_out(&self, mut steps: Steps<u32>) {
        loop {
            {
                let worker = self.worker.borrow();
                let policy = Rc::clone(&worker.policy);
                for note in steps.notes {
                    notes::tell_lookup(&worker.metrics, policy.zones(), note);
                }
            }
            for (context_id, ruling) in steps.rulings {
                self.rule(context_id, ruling);
            }
            for client in steps.publish {
                self.publish(client);
            }
            // A question that cannot be sent is answered at once, which may raise another.
            let mut later = Steps::default();
            for question in steps.questions {
                later.append(self.ask(&question));
            }
            if later == Steps::default() {
                return;
            }
            steps = later;
        }
    }

    /// Lets a connection on, or refuses it; ends the session of one that went on meanwhile.
    fn rule(&self, context_id: u32, ruling: Ruling) {
        let mut worker = self.worker.borrow_mut();
        let Some(waiting) = worker.waiting.remove(&context_id) else {
            return;
        };
        let Waiting { session, wait, .. } = waiting;
        match (wait, ruling) {
            (Wait::Greeting, ruling) => {
                let held = milliseconds(host::wall_clock().saturating_sub(waiting.since));
                worker.metrics.record(Family::Held, 0, held);
                if let Some(connection) = worker.connections.get(&context_id) {
                    connection.was_held(held);
                }
                notes::count_ruling(&worker.metrics, &ruling);
                let done = host::as_context(context_id, self.root, || {
                    if let Ruling::Listed(listing) = ruling {
                        door::refused(
                            &mut worker,
                            context_id,
                            &session,
                            Rule::Dnsbl,
                            Some(listing),
                        );
                    }
                    host::continue_to_server()
                });
                if let Err(refused) = done {
                    log::debug!("a connection that waited is gone: {refused}");
                }
            }
            (Wait::Session, Ruling::Listed(listing)) => {
                let mut session = session.borrow_mut();
                let notes = session.found_listed(listing);
                notes::tell(&worker.metrics, &session, &notes);
            }
            (Wait::Session, _) => {}
        }
    }

    /// Writes down for all workers what this one found out, and tells those that wait for it.
    fn publish(&self, client: Client) {
        let mut worker = self.worker.borrow_mut();
        let now = worker.now();
        let Some(slot) = worker.lookups.slot_of(client) else {
            return;
        };
        let waiting = host::update_shared(&slot_key(slot), |bytes| {
            worker.lookups.publish(client, bytes, now)
        });
        let message = Errand::Published(client).encode();
        for queue in waiting.into_iter().flatten() {
            // A worker that is gone waits for nothing.
            let _ = host::enqueue(queue, &message);
        }
    }

    fn ask(&self, question: &Question) -> Steps<u32> {
        let mut worker = self.worker.borrow_mut();
        let policy = Rc::clone(&worker.policy);
        let config = &policy.config().dnsbl;
        let headers = question.request.headers.iter();
        let headers = headers
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let body = question.request.body.as_deref();
        let timeout = Duration::from_millis(config.timeout_ms.into());
        let call =
            hostcalls::dispatch_http_call(&config.cluster, headers, body, Vec::new(), timeout);
        match call {
            Ok(token) => {
                let asked = Asked {
                    ticket: question.ticket,
                    zone: question.zone,
                    at: host::wall_clock(),
                };
                worker.calls.insert(token, asked);
                Steps::default()
            }
            Err(status) => {
                let fault = match status {
                    Status::BadArgument => Fault::NoCluster,
                    _ => Fault::Unreachable,
                };
                let now = worker.now();
                worker.lookups.answered(question.ticket, Err(fault), now)
            }
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn slot_key(slot: SlotId) -> String {
    format!("portcullis.dnsbl.{slot}")
}
