//! New VMs: at first, and in place of those that trapped.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{Recipe, Worker};
use crate::callouts::GrpcStreams;
use crate::clock::Timestamp;
use crate::host::HostState;
use crate::metrics::MetricIds;
use crate::observe::TrapReport;
use crate::plugin::FailurePolicy;
use crate::vm::Vm;

impl Worker {
    /// Makes a new VM in place of a dead one, where the policy says so and the last
    /// time is long enough ago.
    pub(super) fn reload_if_due(&mut self) {
        let FailurePolicy::Reload { base_interval } = self.recipe.plugin.failure_policy else {
            return;
        };
        if !self.vm.is_dead() {
            return;
        }
        let now = self.vm.state().now;
        let jitter = self.recipe.shared.chance().jitter(base_interval / 2);
        if now.since(self.loaded) >= base_interval + jitter {
            self.loaded = now;
            self.reload();
        }
    }

    /// Makes a new VM in place of the dead one (Envoy's `FAIL_RELOAD`). The
    /// connections stay known, to be closed at their next data.
    fn reload(&mut self) {
        let old = self.vm.state();
        let root = self.next_context;
        let state = fresh_state(&self.recipe, old.now, root, old.generation + 1);
        self.next_context += 1;
        match Vm::start(&self.recipe.module, state) {
            Ok(mut vm) => {
                let old = self.vm.state_mut();
                let new = vm.state_mut();
                new.connections = std::mem::take(&mut old.connections);
                let mut logs = std::mem::take(&mut old.logs);
                logs.append(&mut new.logs);
                new.logs = logs;
                self.vm = vm;
            }
            Err(error) => self.traps.push(TrapReport {
                at: self.vm.state().now,
                worker: self.recipe.worker,
                context: root,
                callback: "reload",
                message: error.to_string(),
            }),
        }
    }
}

pub(super) fn fresh_state(
    recipe: &Recipe,
    now: Timestamp,
    root: u32,
    generation: u32,
) -> HostState {
    HostState {
        plugin: Arc::clone(&recipe.plugin),
        shared: Arc::clone(&recipe.shared),
        worker: recipe.worker,
        generation,
        now,
        root_context: root,
        contexts: BTreeMap::new(),
        next_id: 2,
        current: root,
        effective: 0,
        connections: BTreeMap::new(),
        declared: BTreeMap::new(),
        configuring: false,
        metric_ids: MetricIds::default(),
        logs: Vec::new(),
        tick: None,
        callouts: Arc::clone(&recipe.callouts),
        calls: Vec::new(),
        last_token: 0,
        response: None,
        call_status: (0, String::new()),
        grpc: GrpcStreams::default(),
        grpc_told: None,
        after_calls: VecDeque::new(),
        memory: None,
        allocate: None,
    }
}
