//! What the filter keeps outside its VMs.

use super::Simulator;
use crate::observe::ConnId;
use crate::worker::Worker;

impl Simulator {
    /// The value of this key of the shared data, without its compare-and-swap number.
    #[must_use]
    pub fn shared_data(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.shared.get(key).ok().map(|(value, _)| value)
    }

    /// Sets a value of the shared data, as a worker outside this simulation would.
    pub fn set_shared_data(&mut self, key: &[u8], value: &[u8]) {
        // Unchecked, so nothing can be refused.
        let _set = self.shared.set(key.to_vec(), value.to_vec(), 0);
    }

    /// Puts a message into every queue of the worker that has this connection, as another worker
    /// would.
    pub fn tell_worker(&mut self, conn: ConnId, message: &[u8]) {
        self.shared.enqueue_for(self.now, conn.worker, message);
        self.let_settle();
    }

    /// All keys of the shared data, in order. As in Envoy, none ever goes away.
    #[must_use]
    pub fn shared_keys(&self) -> Vec<Vec<u8>> {
        self.shared.keys()
    }

    /// What waits in the shared queue of this name, the oldest first; `None` for
    /// one that nobody has registered.
    #[must_use]
    pub fn shared_queue(&self, name: &[u8]) -> Option<Vec<Vec<u8>>> {
        self.shared.queued(name)
    }

    /// Wasm instructions that the filter has run on all workers, since its VMs were started, in a
    /// simulation of [`crate::FilterModule::metered_from_file`]; `None` in any other. What
    /// hostcalls do is not among them. The same calls always run as many.
    #[must_use]
    pub fn instructions(&self) -> Option<u64> {
        let workers = self.workers.iter();
        workers.map(Worker::instructions).sum()
    }
}
