//! The ledger: what sessions tell is written down for all workers, and when a client is listed its
//! sessions end on each of them.

use crate::door;
use crate::host;
use crate::notes;
use crate::transcripts;
use crate::worker::{Errand, Later, Waiting, Worker};
use portcullis_core::client::Client;
use portcullis_core::fleet;
use portcullis_core::ledger::{
    Account, Census, Entry, Evicted, Listing, Posted, Slot, Survey, Terms, number_of,
};
use portcullis_core::metrics::Family;
use portcullis_core::policy::Rule;
use portcullis_core::session::{Cut, Note};
use portcullis_core::worker::{Wait, crew};
use proxy_wasm::types::BufferType;
use std::cell::RefCell;
use std::rc::Rc;

/// Shared data under which the workers of this host find each other.
const CREW_KEY: &str = "portcullis.crew";

/// What all workers know of a client.
pub(crate) fn recall(worker: &Worker, client: Client) -> Entry {
    let key = slot_key(worker, client);
    let slot = key.map(|key| Slot::decode(&host::shared(&key)));
    let known = slot.and_then(|slot| slot.get(client));
    known.unwrap_or_default()
}

/// After an input of one of its sessions: writes down what cannot wait, and lets the next session
/// go on that waits for its turn.
pub(crate) fn settle(worker: &mut Worker, client: Client) {
    let account = worker.roster.account(client).cloned();
    if let Some(account) = account.filter(|account| account.has_urgent_news()) {
        post(worker, &account);
    }
    wake(worker, client);
}

/// Milliseconds that a server may go on looking for recipients whose session is gone.
const ABANDONED: u32 = 10_000;
/// Timers beyond which that is not waited for: many clients must not take all memory this way.
pub(crate) const MOST_TIMERS: usize = 50_000;

/// A session is over.
pub(crate) fn leave(worker: &mut Worker, client: Client, session: u32) {
    let account = worker.roster.account(client).cloned();
    let abandoned = account.map_or(0, |account| account.take_abandoned());
    match abandoned {
        0 => {}
        _ if worker.timers() < MOST_TIMERS => {
            worker.do_later(ABANDONED, Later::Release(client, abandoned));
        }
        _ => release(worker, client, abandoned),
    }
    match worker.roster.end(client, session) {
        Some(last) => post(worker, &last),
        None => wake(worker, client),
    }
}

/// Recipients of a client are no longer being asked about.
pub(crate) fn release(worker: &mut Worker, client: Client, recipients: u32) {
    if let Some(account) = worker.roster.account(client) {
        account.asks(recipients, 0);
    }
    worker.roster.tidy(client);
    wake(worker, client);
}

/// Lets the next session of a client go on.
pub(crate) fn wake(worker: &mut Worker, client: Client) {
    if let Some(next) = worker.roster.next_waiting(client) {
        worker.send(Errand::GoOn(next));
    }
}

fn post(worker: &mut Worker, account: &Account) {
    let Some(news) = account.take_news() else {
        return;
    };
    let client = account.client();
    let posted = change(worker, client, &mut |slot, now, terms| {
        slot.post(client, news, now, terms)
    });
    let listed = match posted {
        Some(posted) => {
            account.learn(posted.entry);
            posted.listed
        }
        None => {
            worker.metrics.count(Family::LedgerLost, 1);
            None
        }
    };
    let news = fleet::News {
        rejected: news.rejected,
        delivered: news.delivered,
        listed,
    };
    publish(worker, client, news);
}

/// Tells other guards. What is only observed lists nobody elsewhere.
fn publish(worker: &mut Worker, client: Client, mut news: fleet::News) {
    let policy = &worker.policy;
    if !policy.enforces_on(client) || !policy.enforces_rule(Rule::Ledger) {
        news.listed = None;
    }
    if let Some(fleet) = &mut worker.fleet {
        let lost = fleet.tell(client, news);
        worker.metrics.count(Family::FleetLost, lost);
    }
}

/// Another guard has listed a client.
pub(crate) fn told(worker: &mut Worker, client: Client, listing: Listing) {
    let _ = change(worker, client, &mut |slot, now, terms| {
        slot.told(client, listing, now, terms)
    });
}

/// Somebody has taken a client off the list.
pub(crate) fn pardon(worker: &mut Worker, client: Client) {
    let (Some(key), Some(watch)) = (slot_key(worker, client), worker.watch.clone()) else {
        return;
    };
    let pardoned = host::update_shared(&key, |bytes| {
        let mut slot = Slot::decode(bytes);
        let pardoned = slot.pardon(client, watch.now());
        (pardoned, slot.encode())
    });
    if pardoned == Some(true) {
        worker.metrics.count(Family::Pardoned, 1);
        worker.metrics.step(Family::Listings, -1);
        log::info!("client={client} verdict=pardon");
    }
    // Whichever worker was the first: sessions of this one may have outlived the listing.
    if let Some(account) = worker.roster.account(client) {
        account.learn(recall(worker, client));
    }
}

/// What all guards together have counted of a client.
pub(crate) fn totals(
    worker: &mut Worker,
    client: Client,
    news: fleet::News,
    totals: fleet::Totals,
) {
    let sums = (totals.rejected, totals.delivered);
    let posted = change(worker, client, &mut |slot, now, terms| {
        slot.totals(client, news.rejected, sums, now, terms)
    });
    let Some(posted) = posted else { return };
    if let Some(account) = worker.roster.account(client) {
        account.learn(posted.entry);
    }
    if posted.listed.is_some() {
        let news = fleet::News {
            listed: posted.listed,
            ..fleet::News::default()
        };
        publish(worker, client, news);
    }
}

/// Changes what all workers know of a client, and tells them if it is listed now.
fn change(
    worker: &mut Worker,
    client: Client,
    change: &mut dyn FnMut(&mut Slot, u32, &Terms) -> Posted,
) -> Option<Posted> {
    let key = slot_key(worker, client)?;
    worker.tell_time();
    let watch = worker.watch.clone()?;
    let (now, terms) = (watch.now(), watch.terms());
    let posted = host::update_shared(&key, |bytes| {
        let mut slot = Slot::decode(bytes);
        let posted = change(&mut slot, now, &terms);
        (posted, slot.encode())
    })?;
    match posted.evicted {
        Evicted::Nothing => {}
        Evicted::Score => worker.metrics.count(Family::EvictedScores, 1),
        Evicted::Listing => {
            worker.metrics.count(Family::EvictedListings, 1);
        }
    }
    if let Some(listing) = posted.listed {
        announce(worker, client, listing, now);
    }
    Some(posted)
}

/// Tells every worker that a client is listed.
fn announce(worker: &mut Worker, client: Client, listing: Listing, now: u32) {
    notes::tell_listing(&worker.metrics, client, listing);
    let message = Errand::Listed(client).encode();
    let queues = crew::queues(&host::shared(CREW_KEY), now);
    for queue in queues {
        // A worker that is gone has no sessions to end.
        let _ = host::enqueue(queue, &message);
    }
}

/// Tells the other workers of this one.
pub(crate) fn sign(queue: u32, now: u32) {
    let signed = host::update_shared(CREW_KEY, |bytes| ((), crew::sign(bytes, queue, now)));
    if signed.is_none() {
        log::error!("other workers cannot be told of this one: shared data cannot be changed");
    }
}

/// Whether it is this worker that looks through what all of them remember.
pub(crate) fn surveys(queue: u32, now: u32) -> bool {
    let crew = crew::queues(&host::shared(CREW_KEY), now);
    crew.into_iter().min() == Some(queue)
}

/// Looks through the next part of it; what all of it holds, at its end.
pub(crate) fn survey(survey: &mut Survey, slots: u32, now: u32) -> Option<Census> {
    for number in survey.turn(slots) {
        survey.look(&Slot::decode(&host::shared(&numbered(number))), now);
    }
    survey.end_turn(slots, now)
}

/// A client is listed: its sessions on this worker end.
pub(crate) fn cut(shared: &Rc<RefCell<Worker>>, root: u32, client: Client) {
    let mut worker = shared.borrow_mut();
    let entry = recall(&worker, client);
    worker.tell_time();
    let listed = worker
        .watch
        .as_ref()
        .and_then(|watch| entry.listing(watch.now()));
    if listed.is_none() {
        return;
    }
    if let Some(account) = worker.roster.account(client) {
        account.learn(entry);
    }
    let sessions = worker.roster.of(client).into_iter();
    let cuts: Vec<(u32, Cut)> = sessions
        .map(|id| (id, cut_one(&mut worker, root, id, listed)))
        .collect();
    drop(worker);
    for (id, cut) in cuts {
        let done = host::as_context(id, root, || match cut {
            Cut::Now => host::close(),
            Cut::Ask(command) => {
                host::replace_buffer(BufferType::DownstreamData, command)?;
                host::continue_to_server()
            }
            Cut::Owed | Cut::Message | Cut::Spared => Ok(()),
        });
        gone(id, done);
    }
}

/// Ends one session; what is still to be done about its connection.
fn cut_one(worker: &mut Worker, root: u32, id: u32, listing: Option<Listing>) -> Cut {
    let Some(connection) = worker.connections.get(&id).cloned() else {
        return Cut::Spared;
    };
    if let Some(Waiting {
        session,
        wait: Wait::Greeting,
        ..
    }) = worker.waiting.get(&id).cloned()
    {
        worker.waiting.remove(&id);
        worker.metrics.count(Family::Siblings, 1);
        if let Some(listing) = listing {
            let mut session = session.borrow_mut();
            transcripts::tell_held(worker, &mut session, connection.seat());
            session.found_in_ledger(listing);
        }
        let done = host::as_context(id, root, || {
            door::refused(worker, id, &session, Rule::Ledger, None);
            host::continue_to_server()
        });
        gone(id, done);
        return Cut::Spared;
    }
    let mut session = connection.session().borrow_mut();
    transcripts::tell_listed(worker, &mut session, connection.seat());
    let (cut, notes) = session.cut();
    notes::tell(&worker.metrics, &session, &notes);
    drop(session);
    if cut == Cut::Spared {
        return Cut::Spared;
    }
    // One that ends for its own deeds is no sibling.
    let sibling = |note: &Note| matches!(note, Note::Closed(v) if v.rule == Rule::Ledger);
    if notes.iter().any(sibling) {
        worker.metrics.count(Family::Siblings, 1);
    }
    if cut != Cut::Now {
        drop(worker.take_overflow(id));
    }
    if matches!(cut, Cut::Owed | Cut::Ask(_)) {
        worker.close_soon(id);
    }
    cut
}

fn gone(id: u32, done: Result<(), host::Refused>) {
    if let Err(refused) = done {
        log::debug!("connection {id} ended by itself: {refused}");
    }
}

pub(crate) fn slot_key(worker: &Worker, client: Client) -> Option<String> {
    let number = number_of(client, worker.policy.config().ledger.slots)?;
    Some(numbered(number))
}

fn numbered(number: u32) -> String {
    format!("portcullis.ledger.{number}")
}
