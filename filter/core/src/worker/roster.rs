//! The live sessions of each client.

use crate::client::Client;
use crate::ledger::Account;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::rc::Rc;

/// Live sessions by client; `W` is what a connection is known by. There are never more entries than
/// connections, and clients whose last sessions left recipients behind that are being asked about.
#[derive(Debug)]
pub struct Roster<W>(HashMap<Client, Live<W>>);

#[derive(Debug)]
struct Live<W> {
    account: Option<Rc<Account>>,
    sessions: Vec<W>,
    /// Sessions with recipients that wait until others of the client have their replies, each once.
    waiting: VecDeque<W>,
}

impl<W> Live<W> {
    fn count_waiting(&self) {
        if let Some(account) = &self.account {
            account.let_wait(self.waiting.len());
        }
    }
}

impl<W> Default for Roster<W> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

/// Whether there is room for one more session.
#[derive(Debug)]
pub enum Seat {
    /// There was; with what the client's sessions have in common, if they have.
    Taken(Option<Rc<Account>>),
    /// There is none.
    None,
}

impl<W> Roster<W> {
    /// Clients with sessions here.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.0.len()
    }
}

impl<W: Copy + Eq> Roster<W> {
    /// A session begins, unless the client has `limit` of them already. `open` makes the account of
    /// a client that has none.
    #[must_use]
    pub fn begin(
        &mut self,
        client: Client,
        session: W,
        limit: Option<u32>,
        open: impl FnOnce() -> Option<Rc<Account>>,
    ) -> Seat {
        let live = self.0.entry(client).or_insert_with(|| Live {
            account: open(),
            sessions: Vec::new(),
            waiting: VecDeque::new(),
        });
        if limit.is_some_and(|limit| live.sessions.len() >= limit as usize) {
            return Seat::None;
        }
        live.sessions.push(session);
        Seat::Taken(live.account.clone())
    }

    /// A session that had a seat is over; the client's account if it was the last one.
    pub fn end(&mut self, client: Client, session: W) -> Option<Rc<Account>> {
        let live = self.0.get_mut(&client)?;
        live.sessions.retain(|other| *other != session);
        live.waiting.retain(|other| *other != session);
        live.count_waiting();
        if !live.sessions.is_empty() {
            return None;
        }
        let account = live.account.clone();
        self.tidy(client);
        account
    }

    /// Forgets a client without sessions, unless recipients are still being asked about for it.
    pub fn tidy(&mut self, client: Client) {
        let asks = |live: &Live<W>| live.account.as_ref().is_some_and(|a| a.is_asking());
        let over = |live: &Live<W>| live.sessions.is_empty() && !asks(live);
        if self.0.get(&client).is_some_and(over) {
            self.0.remove(&client);
        }
    }

    /// The sessions of a client.
    #[must_use]
    pub fn of(&self, client: Client) -> Vec<W> {
        let live = self.0.get(&client);
        live.map(|live| live.sessions.clone()).unwrap_or_default()
    }

    /// What the sessions of a client have in common.
    #[must_use]
    pub fn account(&self, client: Client) -> Option<&Rc<Account>> {
        self.0.get(&client)?.account.as_ref()
    }

    /// A session waits until others of its client have their replies.
    pub fn wait(&mut self, client: Client, session: W) {
        if let Some(live) = self.0.get_mut(&client)
            && !live.waiting.contains(&session)
        {
            live.waiting.push_back(session);
            live.count_waiting();
        }
    }

    /// The session of the client that has waited longest, which waits no more; none as long as
    /// there is no room.
    pub fn next_waiting(&mut self, client: Client) -> Option<W> {
        let live = self.0.get_mut(&client)?;
        let room = live
            .account
            .as_ref()
            .is_none_or(|account| account.room(0) > 0);
        let next = room.then(|| live.waiting.pop_front()).flatten();
        live.count_waiting();
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Prefixes;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn client(address: &str) -> Client {
        let prefixes = Prefixes { ipv4: 32, ipv6: 64 };
        prefixes.client(address.parse().unwrap())
    }

    fn begin(roster: &mut Roster<u32>, client: Client, session: u32, limit: Option<u32>) -> bool {
        matches!(
            roster.begin(client, session, limit, || None),
            Seat::Taken(None)
        )
    }

    #[test]
    fn a_client_over_its_limit_waits_for_one_of_its_sessions_to_end() {
        let mut roster = Roster::default();
        let (one, other) = (client("203.0.113.7"), client("203.0.113.8"));
        assert!(begin(&mut roster, one, 1, Some(2)));
        assert!(begin(&mut roster, one, 2, Some(2)));
        assert!(!begin(&mut roster, one, 3, Some(2)));
        assert!(begin(&mut roster, other, 4, Some(2)));
        roster.end(one, 1);
        assert!(begin(&mut roster, one, 5, Some(2)));
        assert!(begin(&mut roster, one, 6, None));
        assert_eq!(roster.of(one), [2, 5, 6]);
        for session in 1..7 {
            roster.end(one, session);
        }
        roster.end(other, 4);
        assert!(roster.0.is_empty());
    }

    #[test]
    fn sessions_that_wait_take_turns_and_leave_with_their_seat() {
        let mut roster = Roster::default();
        let one = client("203.0.113.7");
        for session in 1..4 {
            assert!(begin(&mut roster, one, session, None));
            roster.wait(one, session);
            roster.wait(one, session);
        }
        assert_eq!(roster.next_waiting(one), Some(1));
        roster.end(one, 2);
        assert_eq!(roster.next_waiting(one), Some(3));
        assert_eq!(roster.next_waiting(one), None);
    }
}
