//! Answers to the filter's HTTP calls.

use super::Worker;
use crate::clock::Timestamp;
use crate::vm::Vm;

impl Worker {
    /// When the next answer is due.
    pub(crate) fn next_answer(&self) -> Option<Timestamp> {
        if self.vm.is_dead() {
            return None;
        }
        self.vm.state().calls.iter().map(|call| call.due).min()
    }

    /// Tells the filter one answer, if one is due. The root context is told,
    /// whichever context made the call: it may have gone meanwhile.
    pub(crate) fn run_answer(&mut self) -> bool {
        let now = self.vm.state().now;
        let Some(due) = self.next_answer().filter(|due| *due <= now) else {
            return false;
        };
        let state = self.vm.state_mut();
        let Some(place) = state.calls.iter().position(|call| call.due == due) else {
            return false;
        };
        let mut call = state.calls.remove(place);
        let (root, token) = (state.root_context, call.token);
        if let Some(callouts) = &state.callouts {
            callouts.answered(&call);
        }
        let response = call.response.take();
        self.call(root, |vm: &mut Vm| vm.http_call_response(token, response));
        self.settle();
        true
    }

    /// Forgets the calls of a VM that died: nobody is there to be told.
    pub(super) fn drop_calls(&mut self) {
        let state = self.vm.state_mut();
        for call in state.calls.drain(..) {
            if let Some(callouts) = &state.callouts {
                callouts.dropped(&call);
            }
        }
    }
}
