//! The workers of one host, by their queues: whom to tell that a client is listed.
//!
//! Shared like everything else: one value that all workers change. A worker that has not been heard
//! of for a while is gone: nobody would take what is put into its queue.

/// Workers that are remembered. Four or so begin with every configuration.
const MAX_WORKERS: usize = 256;
/// Seconds after which a worker that says nothing is gone.
const GONE_AFTER: u32 = 30;
/// Seconds between a worker's signs of life.
pub const SIGN_EVERY: u32 = 10;
const VERSION: u8 = 1;

/// The value with this worker in it, seen `now` (seconds), and without those that are gone. The
/// one not seen for longest makes room.
#[must_use]
pub fn sign(bytes: &[u8], queue: u32, now: u32) -> Vec<u8> {
    let mut workers = read(bytes);
    workers.retain(|(other, seen)| *other != queue && is_alive(*seen, now));
    if workers.len() >= MAX_WORKERS {
        let oldest = workers
            .iter()
            .enumerate()
            .min_by_key(|(_, (_, seen))| *seen);
        if let Some((at, _)) = oldest {
            workers.swap_remove(at);
        }
    }
    workers.push((queue, now));
    let mut bytes = vec![VERSION];
    for (queue, seen) in workers {
        bytes.extend_from_slice(&queue.to_le_bytes());
        bytes.extend_from_slice(&seen.to_le_bytes());
    }
    bytes
}

/// The queues of all workers that are alive.
#[must_use]
pub fn queues(bytes: &[u8], now: u32) -> Vec<u32> {
    let workers = read(bytes).into_iter();
    let alive = workers.filter(|(_, seen)| is_alive(*seen, now));
    alive.map(|(queue, _)| queue).collect()
}

/// A clock set back or forth makes nobody gone for longer than to the next sign.
fn is_alive(seen: u32, now: u32) -> bool {
    now.abs_diff(seen) <= GONE_AFTER
}

fn read(bytes: &[u8]) -> Vec<(u32, u32)> {
    let Some((&VERSION, rest)) = bytes.split_first() else {
        return Vec::new();
    };
    let (workers, rest) = rest.as_chunks::<8>();
    if !rest.is_empty() || workers.len() > MAX_WORKERS {
        return Vec::new();
    }
    let number = |octets: &[u8]| octets.try_into().map_or(0, u32::from_le_bytes);
    let worker = |octets: &[u8; 8]| {
        let (queue, seen) = octets.split_at(4);
        (number(queue), number(seen))
    };
    workers.iter().map(worker).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn workers_are_known_until_they_fall_silent() {
        let mut bytes = sign(b"", 7, 1000);
        bytes = sign(&bytes, 8, 1010);
        bytes = sign(&bytes, 7, 1020);
        assert_eq!(queues(&bytes, 1020), [8, 7]);
        assert_eq!(queues(&bytes, 1041), [7]);
        bytes = sign(&bytes, 9, 1045);
        assert_eq!(read(&bytes), [(7, 1020), (9, 1045)]);
    }

    #[test]
    fn what_is_no_crew_is_nobody() {
        let good = sign(b"", 7, 1000);
        assert_eq!(queues(&good[..8], 1000), [] as [u32; 0]);
        let mut other = good.clone();
        other[0] = 2;
        assert_eq!(queues(&other, 1000), [] as [u32; 0]);
    }

    #[test]
    fn the_crew_is_bounded() {
        let mut bytes = Vec::new();
        for queue in 0..1000 {
            bytes = sign(&bytes, queue, 1000 + queue / 100);
        }
        let queues = queues(&bytes, 1010);
        assert_eq!(queues.len(), MAX_WORKERS);
        assert!(queues.contains(&999) && !queues.contains(&0));
    }
}
