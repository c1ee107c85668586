//! What follows a callback: deferred effects, closes, ends of contexts, traps.

use super::{Effect, Worker};
use crate::connection::Phase;
use crate::host::AfterCall;
use crate::observe::{CloseReason, TrapReport};
use crate::vm::{CloseBy, Vm};

impl Worker {
    /// Runs a callback and then, as Envoy does, what it asked for meanwhile.
    /// `None` when the VM is dead or died in it.
    pub(super) fn call<R>(
        &mut self,
        context: u32,
        callback: impl FnOnce(&mut Vm) -> Result<R, TrapReport>,
    ) -> Option<R> {
        if self.vm.is_dead() {
            return None;
        }
        match callback(&mut self.vm) {
            Ok(result) => {
                self.run_after_calls();
                Some(result)
            }
            Err(trap) => {
                self.traps.push(trap);
                self.drop_calls();
                self.fail(context);
                None
            }
        }
    }

    fn run_after_calls(&mut self) {
        while let Some((context, what)) = self.vm.state_mut().after_calls.pop_front() {
            match (what, self.connection(context).map(|found| found.phase)) {
                (AfterCall::ContinueDownstream, Some(Phase::Held)) => self.connect(context),
                (AfterCall::ContinueDownstream, Some(Phase::Open)) => self.pass_downstream(context),
                (AfterCall::ContinueDownstream, _) => {}
                (AfterCall::Close, _) => self.close(context, CloseReason::Filter),
            }
        }
    }

    /// Closes a connection after what was written to the client before.
    pub(super) fn close(&mut self, context: u32, reason: CloseReason) {
        let by = match reason {
            CloseReason::ClientReset => CloseBy::Remote,
            _ => CloseBy::Host,
        };
        self.close_by(context, reason, by);
    }

    pub(super) fn close_by(&mut self, context: u32, reason: CloseReason, by: CloseBy) {
        if !self.mark_closed(context, reason) {
            return;
        }
        if self.vm.state().has_context(context) {
            self.call(context, |vm| vm.downstream_close(context, by));
        }
    }

    /// Closes the connection a trap hit; the filter is told nothing more.
    pub(super) fn fail(&mut self, context: u32) {
        self.mark_closed(context, CloseReason::Trap);
    }

    fn mark_closed(&mut self, context: u32, reason: CloseReason) -> bool {
        let Some(connection) = self.connection_mut(context) else {
            return false;
        };
        if connection.is_closed() {
            return false;
        }
        connection.phase = Phase::Closed(reason);
        self.emit(context, Effect::Close);
        self.ending.push_back(context);
        true
    }

    /// Ends the contexts of closed connections and reads on where there is room
    /// again, until nothing is left to do.
    pub(super) fn settle(&mut self) {
        loop {
            if let Some(context) = self.ending.pop_front() {
                self.end_context(context);
            } else if let Some(context) = self.drained.pop_front() {
                self.read_client(context);
            } else {
                return;
            }
        }
    }

    fn end_context(&mut self, context: u32) {
        if !self.vm.is_dead() && self.vm.state().has_context(context) {
            self.call(context, |vm| vm.end_context(context));
        }
        let Some(connection) = self.vm.state_mut().take_leave(context) else {
            return;
        };
        if let Phase::Closed(reason) = connection.phase {
            self.emit(context, Effect::Finished(connection.summary(reason)));
        }
    }
}
