//! Who takes part: addresses, and the generator of each client's own choices.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use fastrand::Rng;

// Addresses are used inside the simulation only. A filter may treat reserved
// networks apart, so these are none.
const BOTS: u8 = 11;
const HONEST: u8 = 7;

/// Where all clients connect to.
pub(super) const LOCAL: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 25)), 25);

/// The most bots, each with an address of its own.
pub const MOST_BOTS: u32 = 1 << 24;

/// The address of this bot: neighbours in number are none in the network.
pub(super) fn bot(number: u32) -> IpAddr {
    scattered(BOTS, number)
}

/// The address of this honest sender.
pub(super) fn honest(number: u32) -> IpAddr {
    scattered(HONEST, number)
}

/// Whether an address is a bot's.
pub(super) fn is_bot(address: Ipv4Addr) -> bool {
    address.octets().first() == Some(&BOTS)
}

/// Multiplying by an odd number gives every number of 24 bits another one.
fn scattered(network: u8, number: u32) -> IpAddr {
    let [_, b, c, d] = number.wrapping_mul(0x9E_37_79_B1).to_be_bytes();
    Ipv4Addr::new(network, b, c, d).into()
}

/// A generator for one client's own choices: the same whichever host it comes to
/// and whatever the others do.
pub(super) fn choices(seed: u64, of: u64) -> Rng {
    let mut rng = Rng::with_seed(seed);
    let first = rng.u64(..);
    Rng::with_seed(first ^ of.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_bot_has_an_address_of_its_own() {
        let addresses: HashSet<IpAddr> = (0..100_000).map(bot).collect();
        assert_eq!(addresses.len(), 100_000);
        assert!(!addresses.contains(&honest(3)));
    }
}
