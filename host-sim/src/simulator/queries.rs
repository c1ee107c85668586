//! What the filter keeps outside its VMs.

use super::Simulator;
use crate::worker::Worker;

impl Simulator {
    /// The value of this key of the shared data, without its compare-and-swap number.
    #[must_use]
    pub fn shared_data(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.shared.get(key).ok().map(|(value, _)| value)
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
