//! What becomes of a connection before its first byte.

use crate::host;
use crate::ledger;
use crate::notes;
use crate::transcripts;
use crate::worker::{Errand, Later, Waiting, Worker};
use portcullis_core::client::Client;
use portcullis_core::ledger::Account;
use portcullis_core::metrics::Family;
use portcullis_core::policy::{Listing, LookupMode, Rule};
use portcullis_core::session::{Door, Session};
use portcullis_core::worker::{LookUp, Ruling, Seat, Told, Wait};
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// A connection that has come.
pub(crate) struct Arrival {
    pub(crate) session: Rc<RefCell<Session>>,
    /// The client among whose sessions it counts.
    pub(crate) seat: Option<Client>,
    pub(crate) way: Way,
}

/// Where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// On, be it to its refusal.
    On,
    /// It waits until its client has been looked up.
    Wait,
}

/// Receives a connection: our own list first, then its number, then the lists of others.
pub(crate) fn receive(worker: &mut Worker, context_id: u32, from: Option<SocketAddr>) -> Arrival {
    let policy = Rc::clone(&worker.policy);
    let ip = from.map(|from| from.ip());
    let (mut session, note) = Session::new(Rc::clone(&policy), ip);
    session.carried_by(host::carrier());
    transcripts::begin(worker, &mut session, context_id, from);
    worker.metrics.session_began();
    worker.serve();
    worker.count_untimed();
    notes::tell(&worker.metrics, &session, note.as_slice());
    let session = Rc::new(RefCell::new(session));
    let arrival = |seat, way| Arrival {
        session: Rc::clone(&session),
        seat,
        way,
    };
    let Some(address) = ip.filter(|address| !policy.exempts(*address)) else {
        return arrival(None, Way::On);
    };
    if policy.lists(address)
        && refused(worker, context_id, &session, Rule::OwnList, None) == Door::Refused
    {
        return arrival(None, Way::On);
    }
    let client = policy.client(address);
    let seat = match take_seat(worker, context_id, &session, client) {
        Seated::Refused => return arrival(None, Way::On),
        Seated::Standing => None,
        Seated::Taken => Some(client),
    };
    if policy.lookup() != LookupMode::Connect {
        return arrival(seat, Way::On);
    }
    // Where nothing is done about a listing, nobody is made to wait for one.
    let wait = match policy.enforces_at(ip) && policy.enforces_rule(Rule::Dnsbl) {
        true => Wait::Greeting,
        false => Wait::Session,
    };
    let way = look_up(worker, context_id, &session, address, wait);
    arrival(seat, way)
}

/// Where a client was put.
enum Seated {
    Taken,
    /// There was no room for it, but it is only observed.
    Standing,
    Refused,
}

/// Gives the session a place among those of its client, unless that is listed or has too many.
fn take_seat(
    worker: &mut Worker,
    context_id: u32,
    session: &Rc<RefCell<Session>>,
    client: Client,
) -> Seated {
    worker.tell_time();
    let known = worker.watch.clone().map(|watch| {
        let entry = ledger::recall(worker, client);
        transcripts::tell_known(worker, &mut session.borrow_mut(), client, entry);
        (watch, entry)
    });
    let listed = known
        .as_ref()
        .and_then(|(watch, entry)| entry.listing(watch.now()));
    if let Some(listed) = listed {
        session.borrow_mut().found_in_ledger(listed);
        if refused(worker, context_id, session, Rule::Ledger, None) == Door::Refused {
            return Seated::Refused;
        }
    }
    let entry = known.as_ref().map(|(_, entry)| *entry);
    let limit = worker.policy.config().sessions.max_per_client;
    let open = || {
        let (watch, entry) = known?;
        Some(Rc::new(Account::new(client, entry, watch)))
    };
    match worker.roster.begin(client, context_id, limit, open) {
        Seat::Taken(account) => {
            if let Some(account) = account {
                // It may be as old as the oldest of its sessions.
                entry.into_iter().for_each(|entry| account.learn(entry));
                session.borrow_mut().charge_to(account);
            }
            Seated::Taken
        }
        Seat::None
            if refused(worker, context_id, session, Rule::Sessions, None) == Door::Refused =>
        {
            Seated::Refused
        }
        Seat::None => Seated::Standing,
    }
}

/// Has the client of a session under way looked up.
pub(crate) fn look_up_later(
    worker: &mut Worker,
    context_id: u32,
    session: &Rc<RefCell<Session>>,
    client: IpAddr,
) {
    // What is known already is told like an answer: the session's own callback is still running.
    look_up(worker, context_id, session, client, Wait::Session);
}

fn look_up(
    worker: &mut Worker,
    context_id: u32,
    session: &Rc<RefCell<Session>>,
    address: IpAddr,
    wait: Wait,
) -> Way {
    let now = worker.now();
    let begins = match worker.lookups.look_up(address, context_id, wait, now) {
        LookUp::Ruled(ruling, told) => {
            notes::count_told(&worker.metrics, told);
            match (ruling, wait) {
                (Ruling::Listed(listing), Wait::Greeting) => {
                    refused(worker, context_id, session, Rule::Dnsbl, Some(listing));
                }
                (Ruling::Listed(listing), Wait::Session) => {
                    let waiting = Waiting {
                        session: Rc::clone(session),
                        wait,
                        since: now.wall,
                    };
                    worker.waiting.insert(context_id, waiting);
                    worker.found.push((context_id, Ruling::Listed(listing)));
                    worker.send(Errand::LookUp);
                }
                (Ruling::Clear | Ruling::OverBudget | Ruling::Skipped, _) => {}
            }
            return Way::On;
        }
        LookUp::Waits => {
            notes::count_told(&worker.metrics, Told::Joined);
            false
        }
        LookUp::Begins => true,
    };
    let waiting = Waiting {
        session: Rc::clone(session),
        wait,
        since: now.wall,
    };
    worker.waiting.insert(context_id, waiting);
    worker.set_pace();
    if begins {
        worker.send(Errand::LookUp);
    }
    match wait {
        Wait::Greeting => Way::Wait,
        Wait::Session => Way::On,
    }
}

/// Refuses the connection in effect, unless its session is only observed. It must not have been
/// let on yet.
pub(crate) fn refused(
    worker: &mut Worker,
    context_id: u32,
    session: &Rc<RefCell<Session>>,
    rule: Rule,
    listing: Option<Rc<Listing>>,
) -> Door {
    let mut session = session.borrow_mut();
    let tarpit = &worker.policy.config().tarpit;
    // Each leaves a timer behind that outlives it.
    let has_place = worker.detained < tarpit.sessions && worker.timers() < ledger::MOST_TIMERS;
    let (door, notes) = match rule {
        Rule::Ledger | Rule::OwnList if has_place => session.detain(rule),
        _ => session.refuse(rule, listing),
    };
    if session.is_detained() && door == Door::Refused {
        let longest = tarpit.max_s.saturating_mul(1000);
        worker.detained += 1;
        worker.do_later(longest, Later::LetGo(context_id));
    }
    notes::tell(&worker.metrics, &session, &notes);
    if door == Door::Refused
        && let Some(cluster) = &worker.policy.config().refusal.cluster
        && let Err(error) = host::route_to(cluster)
    {
        // The session puts the refusal in place of whatever greets the client.
        log::error!("refused connections go to the server: {error}");
        worker.metrics.count(Family::Unrouted, 1);
    }
    door
}
