//! What all workers of one plugin share: data, queues and metrics.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::chance::{Chance, Way};
use crate::clock::Timestamp;
use crate::metrics::Metrics;
use crate::status::Status;

/// Called with a worker's index when a queue of its has got an item.
pub(crate) type Wake = Box<dyn Fn(usize) + Send + Sync>;

/// The state behind the shared data, queue and metric hostcalls.
pub(crate) struct Shared {
    data: Mutex<Data>,
    queues: Mutex<Queues>,
    metrics: Mutex<Metrics>,
    /// How far the wall clock is ahead of the simulation's, nanoseconds.
    wall_ahead: AtomicI64,
    chance: Arc<Chance>,
    wake: Wake,
}

#[derive(Default)]
struct Data {
    values: HashMap<Vec<u8>, Value>,
    last_cas: u32,
    /// How often a value was made to look changed by another worker.
    contended: u64,
}

struct Value {
    bytes: Vec<u8>,
    cas: u32,
    /// How often in a row it was made to look changed.
    contended: u32,
}

fn advance(cas: &mut u32) -> u32 {
    *cas = cas.checked_add(1).unwrap_or(1);
    *cas
}

#[derive(Default)]
struct Queues {
    tokens: HashMap<(String, Vec<u8>), u32>,
    queues: HashMap<u32, Queue>,
    /// What each worker still has to be told, by when and then by age.
    ready: HashMap<usize, BTreeMap<(Timestamp, u64), QueueReady>>,
    enqueued: u64,
}

#[derive(Default)]
struct Queue {
    worker: usize,
    context: u32,
    items: VecDeque<Vec<u8>>,
    way: Way,
}

/// A queue got an item; its consumer is to be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueReady {
    /// The consumer's root context.
    pub(crate) context: u32,
    /// The queue.
    pub(crate) token: u32,
}

/// The inside of a lock, whoever panicked while holding it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(wake: Wake, chance: Arc<Chance>) -> Self {
        Self {
            data: Mutex::default(),
            queues: Mutex::default(),
            metrics: Mutex::default(),
            wall_ahead: AtomicI64::new(0),
            chance,
            wake,
        }
    }

    /// What the wall clock shows at this moment, nanoseconds since the Unix epoch.
    pub(crate) fn wall_nanos(&self, now: Timestamp) -> u64 {
        let ahead = self.wall_ahead.load(Ordering::Relaxed);
        now.as_unix_nanos().saturating_add_signed(ahead)
    }

    /// Sets the wall clock; the time that passes stays what it is.
    pub(crate) fn set_wall(&self, now: Timestamp, to: Timestamp) {
        let ahead = i128::from(to.as_unix_nanos()) - i128::from(now.as_unix_nanos());
        let limits = i128::from(i64::MIN)..=i128::from(i64::MAX);
        let ahead = ahead.clamp(*limits.start(), *limits.end());
        self.wall_ahead
            .store(i64::try_from(ahead).unwrap_or(0), Ordering::Relaxed);
    }

    /// Where decisions of the simulation come from.
    pub(crate) fn chance(&self) -> &Chance {
        &self.chance
    }

    /// The value and its compare-and-swap number. A key once set never goes away.
    pub(crate) fn get(&self, key: &[u8]) -> Result<(Vec<u8>, u32), Status> {
        let data = lock(&self.data);
        let value = data.values.get(key).ok_or(Status::NotFound)?;
        Ok((value.bytes.clone(), value.cas))
    }

    /// Sets a value. `cas` 0 means unchecked; a new key is never checked. A cas
    /// that matches may fail by chance, as if another worker had written the same
    /// bytes a moment ago.
    pub(crate) fn set(&self, key: Vec<u8>, bytes: Vec<u8>, cas: u32) -> Result<(), Status> {
        let data = &mut *lock(&self.data);
        if let Some(value) = data.values.get_mut(&key)
            && cas != 0
        {
            if cas != value.cas {
                return Err(Status::CasMismatch);
            }
            if self.chance.contends(value.contended) {
                value.cas = advance(&mut data.last_cas);
                value.contended += 1;
                data.contended += 1;
                return Err(Status::CasMismatch);
            }
        }
        let value = Value {
            bytes,
            cas: advance(&mut data.last_cas),
            contended: 0,
        };
        data.values.insert(key, value);
        Ok(())
    }

    /// How often a value was made to look changed by another worker.
    pub(crate) fn contended(&self) -> u64 {
        lock(&self.data).contended
    }

    /// Registers a queue. The last to register a name is its only consumer;
    /// items already queued stay.
    pub(crate) fn register_queue(
        &self,
        vm_id: &str,
        name: &[u8],
        worker: usize,
        context: u32,
    ) -> u32 {
        let mut queues = lock(&self.queues);
        let next = u32::try_from(queues.tokens.len() + 1).unwrap_or(u32::MAX);
        let key = (vm_id.to_owned(), name.to_vec());
        let token = *queues.tokens.entry(key).or_insert(next);
        let queue = queues.queues.entry(token).or_default();
        queue.worker = worker;
        queue.context = context;
        token
    }

    pub(crate) fn resolve_queue(&self, vm_id: &str, name: &[u8]) -> Result<u32, Status> {
        let key = (vm_id.to_owned(), name.to_vec());
        let queues = lock(&self.queues);
        queues.tokens.get(&key).copied().ok_or(Status::NotFound)
    }

    /// Puts an item into a queue. Its consumer is to be told after a while, of
    /// one queue's items in order.
    pub(crate) fn enqueue(&self, now: Timestamp, token: u32, item: Vec<u8>) -> Result<(), Status> {
        let worker = {
            let mut queues = lock(&self.queues);
            queues.enqueued += 1;
            let place = queues.enqueued;
            let queue = queues.queues.get_mut(&token).ok_or(Status::NotFound)?;
            queue.items.push_back(item);
            let due = self.chance.arrival(now, &mut queue.way);
            let (worker, context) = (queue.worker, queue.context);
            let ready = queues.ready.entry(worker).or_default();
            ready.insert((due, place), QueueReady { context, token });
            worker
        };
        (self.wake)(worker);
        Ok(())
    }

    /// Puts an item into every queue of a worker.
    pub(crate) fn enqueue_for(&self, now: Timestamp, worker: usize, item: &[u8]) {
        let tokens: Vec<u32> = {
            let queues = lock(&self.queues);
            let of_worker = queues
                .queues
                .iter()
                .filter(|(_, queue)| queue.worker == worker);
            of_worker.map(|(token, _)| *token).collect()
        };
        for token in tokens {
            // The queue was there a moment ago, and none ever goes away.
            let _queued = self.enqueue(now, token, item.to_vec());
        }
    }

    pub(crate) fn dequeue(&self, token: u32) -> Result<Vec<u8>, Status> {
        let mut queues = lock(&self.queues);
        let queue = queues.queues.get_mut(&token).ok_or(Status::NotFound)?;
        queue.items.pop_front().ok_or(Status::Empty)
    }

    /// All keys, in order.
    pub(crate) fn keys(&self) -> Vec<Vec<u8>> {
        let mut keys: Vec<_> = lock(&self.data).values.keys().cloned().collect();
        keys.sort();
        keys
    }

    /// What waits in the queue of this name, whichever VM's it is.
    pub(crate) fn queued(&self, name: &[u8]) -> Option<Vec<Vec<u8>>> {
        let queues = lock(&self.queues);
        let mut tokens = queues.tokens.iter();
        let (_, token) = tokens.find(|((_, known), _)| known == name)?;
        let queue = queues.queues.get(token)?;
        Some(queue.items.iter().cloned().collect())
    }

    /// The next `on_queue_ready` this worker owes.
    pub(crate) fn next_ready(&self, worker: usize) -> Option<QueueReady> {
        let mut queues = lock(&self.queues);
        let (_, ready) = queues.ready.get_mut(&worker)?.pop_first()?;
        Some(ready)
    }

    /// When this worker is to be told of its next item.
    pub(crate) fn next_ready_at(&self, worker: usize) -> Option<Timestamp> {
        let queues = lock(&self.queues);
        let ((due, _), _) = queues.ready.get(&worker)?.first_key_value()?;
        Some(*due)
    }

    /// The metrics of the process.
    pub(crate) fn metrics(&self) -> MutexGuard<'_, Metrics> {
        lock(&self.metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Order;

    const NOW: Timestamp = Timestamp::SIMULATION_START;

    fn shared(chance: Chance) -> Shared {
        Shared::new(Box::new(|_| {}), Arc::new(chance))
    }

    #[test]
    fn compare_and_swap_checks_only_keys_that_exist() {
        let shared = shared(Chance::default());
        let set = |value: &[u8], cas| shared.set(b"k".to_vec(), value.to_vec(), cas);
        assert_eq!(shared.get(b"k"), Err(Status::NotFound));
        assert_eq!(set(b"new key ignores cas", 77), Ok(()));
        let (_, cas) = shared.get(b"k").unwrap();
        assert_eq!(set(b"matching", cas), Ok(()));
        assert_eq!(set(b"stale", cas), Err(Status::CasMismatch));
        assert_eq!(set(b"", 0), Ok(()));
        let (value, newer) = shared.get(b"k").unwrap();
        assert!(value.is_empty() && newer > cas, "an emptied key stays");
    }

    #[test]
    fn the_last_to_register_a_queue_is_told() {
        let shared = shared(Chance::default());
        let first = shared.register_queue("vm", b"q", 0, 1);
        let second = shared.register_queue("vm", b"q", 1, 5);
        assert_eq!(first, second);
        assert_eq!(shared.resolve_queue("vm", b"q"), Ok(first));
        assert_eq!(shared.resolve_queue("other", b"q"), Err(Status::NotFound));
        assert_eq!(shared.enqueue(NOW, first, b"x".to_vec()), Ok(()));
        assert!(shared.next_ready(0).is_none());
        assert_eq!(shared.next_ready(1).map(|ready| ready.context), Some(5));
        assert_eq!(shared.dequeue(first), Ok(b"x".to_vec()));
        assert_eq!(shared.dequeue(first), Err(Status::Empty));
        assert_eq!(shared.enqueue(NOW, 99, Vec::new()), Err(Status::NotFound));
    }

    #[test]
    fn contention_lets_a_loop_through_in_the_end() {
        let shared = shared(Chance::new(Order::Seeded(1), 100));
        let set = |cas| shared.set(b"k".to_vec(), b"v".to_vec(), cas);
        assert_eq!((set(77), set(0)), (Ok(()), Ok(())), "nothing is compared");
        let tries = (1..).find(|_| {
            let (value, cas) = shared.get(b"k").unwrap();
            assert_eq!(value, b"v");
            set(cas).is_ok()
        });
        assert_eq!((tries, shared.contended()), (Some(4), 3));
    }

    #[test]
    fn each_queue_keeps_its_order_on_the_way() {
        let shared = shared(Chance::new(Order::Seeded(5), 0));
        let names = [b"p".as_slice(), b"q"];
        let queues = names.map(|name| shared.register_queue("vm", name, 0, 1));
        for _ in 0..20 {
            for token in queues {
                assert_eq!(shared.enqueue(NOW, token, Vec::new()), Ok(()));
            }
        }
        let mut due = Vec::new();
        let mut tokens = Vec::new();
        while let Some(at) = shared.next_ready_at(0) {
            due.push(at);
            tokens.extend(shared.next_ready(0).map(|ready| ready.token));
        }
        assert!(due.is_sorted() && due.first() < due.last());
        assert_ne!(
            tokens,
            queues.repeat(20),
            "the two queues overtake each other"
        );
    }
}
