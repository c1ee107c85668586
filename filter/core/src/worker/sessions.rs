//! How many sessions each client has at once.

use crate::client::Client;
use hashbrown::HashMap;

/// Live sessions by client. There are never more entries than connections.
#[derive(Debug, Default)]
pub struct Sessions(HashMap<Client, u32>);

impl Sessions {
    /// A session begins, unless the client has `limit` of them already.
    #[must_use]
    pub fn begin(&mut self, client: Client, limit: Option<u32>) -> Seat {
        let count = self.0.entry(client).or_insert(0);
        if limit.is_some_and(|limit| *count >= limit) {
            return Seat::None;
        }
        *count = count.saturating_add(1);
        Seat::Taken
    }

    /// A session that had a seat is over.
    pub fn end(&mut self, client: Client) {
        if let Some(count) = self.0.get_mut(&client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(&client);
            }
        }
    }
}

/// Whether there is room for one more session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// There was.
    Taken,
    /// There is none.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Prefixes;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_client_over_its_limit_waits_for_one_of_its_sessions_to_end() {
        let prefixes = Prefixes { ipv4: 32, ipv6: 64 };
        let client = |address: &str| prefixes.client(address.parse().unwrap());
        let mut sessions = Sessions::default();
        let (one, other) = (client("203.0.113.7"), client("203.0.113.8"));
        assert_eq!(sessions.begin(one, Some(2)), Seat::Taken);
        assert_eq!(sessions.begin(one, Some(2)), Seat::Taken);
        assert_eq!(sessions.begin(one, Some(2)), Seat::None);
        assert_eq!(sessions.begin(other, Some(2)), Seat::Taken);
        sessions.end(one);
        assert_eq!(sessions.begin(one, Some(2)), Seat::Taken);
        assert_eq!(sessions.begin(one, None), Seat::Taken);
        for _ in 0..4 {
            sessions.end(one);
        }
        sessions.end(other);
        assert!(sessions.0.is_empty());
    }
}
