//! What several guards share: the feed of listings followed, news written.
//!
//! All of it runs in callbacks of the root context, which gets the answers.

use crate::host;
use crate::ledger;
use crate::worker::Worker;
use portcullis_core::dnsbl::Request;
use portcullis_core::fleet::{
    Entry, Fault, Follow, MAX_ANSWER, News, Outbox, Turn, read_feed, read_totals, weights,
};
use portcullis_core::metrics::Family;
use portcullis_core::policy::Policy;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, Bytes};
use std::time::Duration;

/// One worker's dealings with the store.
#[derive(Debug)]
pub(crate) struct Fleet {
    cluster: String,
    follow: Follow,
    outbox: Outbox,
    /// The questions asked, by the host's token: one of each kind at most.
    calls: Vec<(u32, Call)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Feed,
    Write,
}

impl Fleet {
    /// The fleet of a policy, if it is of one; `queue` tells this worker from others of the host.
    pub(crate) fn new(policy: &Policy, queue: u32) -> Option<Self> {
        let config = &policy.config().fleet;
        let cluster = config.cluster.clone().filter(|_| policy.remembers())?;
        let origin = format!("{:x}.{queue:x}", host::wall_clock().as_nanos());
        Some(Self {
            cluster,
            follow: Follow::new(Duration::from_millis(config.poll_ms.into())),
            outbox: Outbox::new(origin, config.queued),
            calls: Vec::new(),
        })
    }

    /// There is news of a client; how many clients' news are lost for it.
    pub(crate) fn tell(&mut self, client: portcullis_core::client::Client, news: News) -> u32 {
        self.outbox.add(client, news)
    }

    /// Asks and writes what is due.
    fn due(&mut self, policy: &Policy, now: Duration, seconds: u32) -> Vec<(Call, Request)> {
        let feed = self.follow.due(policy, now).map(|r| (Call::Feed, r));
        let write = self.outbox.due(policy, now, seconds);
        let write = write.map(|request| (Call::Write, request));
        feed.into_iter().chain(write).collect()
    }

    fn send(&mut self, call: Call, request: &Request, timeout: Duration) -> Result<(), Fault> {
        let headers = request.headers.iter();
        let headers = headers
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let body = request.body.as_deref();
        let sent = hostcalls::dispatch_http_call(&self.cluster, headers, body, Vec::new(), timeout);
        let token = sent.map_err(|_| Fault::Unreachable)?;
        self.calls.push((token, call));
        Ok(())
    }

    /// What was asked under a token.
    fn take(&mut self, token: u32) -> Option<Call> {
        let place = self.calls.iter().position(|(other, _)| *other == token)?;
        Some(self.calls.swap_remove(place).1)
    }
}

/// Time has passed.
pub(crate) fn tick(worker: &mut Worker) {
    // A machine without connections has nothing to tell, and nobody to turn away.
    if !worker.serves() {
        return;
    }
    let Some(mut fleet) = worker.fleet.take() else {
        return;
    };
    let policy = std::rc::Rc::clone(&worker.policy);
    let now = worker.now();
    let timeout = Duration::from_millis(policy.config().fleet.timeout_ms.into());
    let due = fleet.due(&policy, now.steady, now.seconds());
    let failed: Vec<(Call, Fault)> = due
        .into_iter()
        .filter_map(|(call, request)| {
            let sent = fleet.send(call, &request, timeout);
            sent.err().map(|fault| (call, fault))
        })
        .collect();
    worker.fleet = Some(fleet);
    for (call, fault) in failed {
        answered(worker, call, Err(fault));
    }
}

/// A response is at hand; whether it is the store's. Envoy tells of one that was cut off by giving
/// it no headers.
pub(crate) fn response(worker: &mut Worker, token: u32, headers: usize, size: usize) -> bool {
    let Some(call) = worker.fleet.as_mut().and_then(|fleet| fleet.take(token)) else {
        return false;
    };
    let status = host::response_header(":status").filter(|_| headers > 0);
    let answer = match status {
        None => Err(Fault::Unreachable),
        Some(_) if size > MAX_ANSWER => Err(Fault::Garbled),
        Some(status) => Ok((status, host::buffer(BufferType::HttpCallResponseBody))),
    };
    answered(worker, call, answer);
    // The next page, or the next batch.
    tick(worker);
    true
}

fn answered(worker: &mut Worker, call: Call, answer: Result<(String, Bytes), Fault>) {
    match call {
        Call::Feed => feed(worker, answer),
        Call::Write => written(worker, answer),
    }
}

fn feed(worker: &mut Worker, answer: Result<(String, Bytes), Fault>) {
    let now = worker.now().steady;
    let feed = answer.and_then(|(status, body)| read_feed(&status, &body));
    let Some(fleet) = &mut worker.fleet else {
        return;
    };
    match fleet.follow.answered(&feed, now) {
        Some(Turn::Gone(fault)) => {
            worker.metrics.count(Family::FleetGone, 1);
            log::error!("fleet: the shared store cannot be used: {fault}; going on alone");
        }
        Some(Turn::Back) => {
            worker.metrics.count(Family::FleetBack, 1);
            log::info!("fleet: the shared store is in use again");
        }
        None => {}
    }
    match feed {
        Ok(feed) => {
            worker.metrics.count(Family::FleetReads, 1);
            let ours = worker.policy.prefixes();
            for entry in feed.entries {
                // A network of several clients of ours is none that could come.
                match entry {
                    Entry::Listed(named, listing) => {
                        let client = ours.holding(named);
                        client
                            .into_iter()
                            .for_each(|client| ledger::told(worker, client, listing));
                    }
                    Entry::Pardoned(named) => {
                        let client = ours.holding(named);
                        client
                            .into_iter()
                            .for_each(|client| ledger::pardon(worker, client));
                    }
                }
            }
        }
        Err(_) => worker.metrics.count(Family::FleetErrors, 1),
    }
}

fn written(worker: &mut Worker, answer: Result<(String, Bytes), Fault>) {
    let weights = weights(&worker.policy, worker.now().seconds());
    let now = worker.now().steady;
    let Some(fleet) = &mut worker.fleet else {
        return;
    };
    let count = fleet.outbox.on_its_way();
    let totals = answer.and_then(|(status, body)| read_totals(&status, &body, count, weights));
    match totals {
        Ok(totals) => {
            let told = fleet.outbox.written(totals, now);
            worker.metrics.count(Family::FleetWrites, 1);
            for ((client, news), totals) in told {
                ledger::totals(worker, client, news, totals);
            }
        }
        Err(fault) => {
            let lost = fleet.outbox.failed(fault, now);
            worker.metrics.count(Family::FleetLost, lost);
            worker.metrics.count(Family::FleetErrors, 1);
            log::debug!("fleet: news could not be written: {fault}");
        }
    }
}
