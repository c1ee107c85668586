//! Answers to the filter's HTTP and gRPC calls.

use std::sync::Arc;

use super::Worker;
use crate::clock::Timestamp;
use crate::vm::Vm;

impl Worker {
    /// When the next answer is due.
    pub(crate) fn next_answer(&self) -> Option<Timestamp> {
        if self.vm.is_dead() {
            return None;
        }
        let state = self.vm.state();
        self.next_http_answer()
            .into_iter()
            .chain(state.grpc.next_due())
            .min()
    }

    fn next_http_answer(&self) -> Option<Timestamp> {
        self.vm.state().calls.iter().map(|call| call.due).min()
    }

    /// Tells the filter what comes next: of HTTP and gRPC calls what is due first.
    pub(crate) fn run_answer(&mut self) -> bool {
        let (http, grpc) = (self.next_http_answer(), self.vm.state().grpc.next_due());
        match (http, grpc) {
            (Some(http), Some(grpc)) if grpc < http => self.run_grpc_answer(),
            (None, Some(_)) => self.run_grpc_answer(),
            _ => self.run_http_answer(),
        }
    }

    /// Tells the root context one thing of a gRPC call, if one is due.
    fn run_grpc_answer(&mut self) -> bool {
        let state = self.vm.state_mut();
        let (now, root) = (state.now, state.root_context);
        let callouts = Arc::clone(&state.callouts);
        let Some((token, told)) = state.grpc.next(&callouts, now) else {
            return false;
        };
        self.call(root, |vm: &mut Vm| vm.grpc_told(token, told));
        self.settle();
        true
    }

    /// Tells the filter one answer, if one is due. The root context is told,
    /// whichever context made the call: it may have gone meanwhile.
    fn run_http_answer(&mut self) -> bool {
        let now = self.vm.state().now;
        let Some(due) = self.next_http_answer().filter(|due| *due <= now) else {
            return false;
        };
        let state = self.vm.state_mut();
        let Some(place) = state.calls.iter().position(|call| call.due == due) else {
            return false;
        };
        let mut call = state.calls.remove(place);
        let (root, token) = (state.root_context, call.token);
        state.callouts.answered(&call);
        let response = call.response.take();
        self.call(root, |vm: &mut Vm| vm.http_call_response(token, response));
        self.settle();
        true
    }

    /// Forgets the calls of a VM that died: nobody is there to be told.
    pub(super) fn drop_calls(&mut self) {
        let state = self.vm.state_mut();
        for call in state.calls.drain(..) {
            state.callouts.dropped(&call);
        }
        state.grpc.drop_all(&state.callouts);
    }
}
