//! Bytes through the filter, as Envoy's filter manager and TCP proxy move them.

use super::{Effect, Worker};
use crate::connection::{Filter, Phase, ReadClient};
use crate::observe::CloseReason;
use crate::vm::{Action, CloseBy};

impl Worker {
    /// Reads what the client wrote, one callback per read, until there is
    /// nothing more or the paused buffer is full.
    pub(super) fn read_client(&mut self, context: u32) {
        let limit = self.recipe.plugin.read_limit;
        loop {
            let read = self
                .connection_mut(context)
                .map(|connection| connection.read_client(limit));
            match read {
                Some(ReadClient::Data) => self.deliver_downstream(context),
                Some(ReadClient::Reset) => self.close(context, CloseReason::ClientReset),
                Some(ReadClient::Nothing) | None => return,
            }
        }
    }

    /// Shows the filter the client's buffer. After Continue the host lets go of the
    /// buffer, so that later hostcalls no longer reach it; after Pause it does not.
    fn deliver_downstream(&mut self, context: u32) {
        if self.fail_if_stale(context) {
            return;
        }
        let Some(connection) = self.connection_mut(context) else {
            return;
        };
        if connection.filter == Filter::Nobody {
            self.pass_downstream(context);
            return;
        }
        let stream = &mut connection.downstream;
        stream.held_by_guest = true;
        let (size, ended) = (size(&stream.bytes), stream.ended);
        let action = self.call(context, |vm| vm.downstream_data(context, size, ended));
        if action == Some(Action::Continue) {
            if let Some(connection) = self.connection_mut(context) {
                connection.downstream.held_by_guest = false;
            }
            self.pass_downstream(context);
        }
    }

    /// Passes everything in the client's buffer on to the server, and the end of
    /// the stream if it was seen. After that end, bytes vanish.
    pub(super) fn pass_downstream(&mut self, context: u32) {
        let Some(connection) = self.connection_mut(context) else {
            return;
        };
        if connection.phase != Phase::Open {
            return;
        }
        let stream = &mut connection.downstream;
        let bytes = std::mem::take(&mut stream.bytes);
        if stream.end_passed {
            return;
        }
        stream.end_passed = stream.ended;
        let ended = stream.ended;
        if connection.gone.server && !bytes.is_empty() {
            self.close(context, CloseReason::ServerReset);
            return;
        }
        self.pass_upstreamwards(context, bytes, ended);
        self.drained.push_back(context);
        self.close_if_both_ended(context, CloseBy::Remote);
    }

    /// Shows the filter the server's buffer. After Pause it waits for more bytes:
    /// nothing can release it otherwise.
    pub(super) fn deliver_upstream(&mut self, context: u32) {
        if self.fail_if_stale(context) {
            return;
        }
        let Some(connection) = self.connection_mut(context) else {
            return;
        };
        if connection.filter == Filter::Nobody {
            self.pass_upstream(context);
            self.close_if_both_ended(context, CloseBy::Host);
            return;
        }
        let stream = &mut connection.upstream;
        stream.held_by_guest = true;
        let (size, ended) = (size(&stream.bytes), stream.ended);
        let action = self.call(context, |vm| vm.upstream_data(context, size, ended));
        if let Some(connection) = self.connection_mut(context) {
            connection.upstream.held_by_guest = false;
        }
        if action == Some(Action::Continue) {
            self.pass_upstream(context);
        }
        if ended && action.is_some() {
            self.call(context, |vm| vm.upstream_close(context, CloseBy::Unknown));
        }
        self.close_if_both_ended(context, CloseBy::Host);
    }

    /// Passes the server's buffer on to the client. Bytes of a connection that was
    /// closed meanwhile are lost: they had not reached the write buffer.
    fn pass_upstream(&mut self, context: u32) {
        let Some(connection) = self.connection_mut(context) else {
            return;
        };
        if connection.phase != Phase::Open {
            return;
        }
        let bytes = std::mem::take(&mut connection.upstream.bytes);
        let ended = connection.upstream.ended;
        connection.upstream.end_passed = ended;
        if connection.gone.client && !bytes.is_empty() {
            self.close(context, CloseReason::ClientReset);
            return;
        }
        connection.bytes_sent += bytes.len() as u64;
        if !bytes.is_empty() {
            self.emit(context, Effect::ToClient(bytes));
        }
        if ended {
            self.emit(context, Effect::EndClient);
        }
    }

    /// Both directions of either side ended: Envoy closes the whole, by the side that
    /// was the last.
    fn close_if_both_ended(&mut self, context: u32, by: CloseBy) {
        let over = self.connection(context).is_some_and(|connection| {
            let (down, up) = (&connection.downstream, &connection.upstream);
            (down.ended && up.end_passed) || (up.ended && down.end_passed)
        });
        if over {
            self.close_by(context, CloseReason::Finished, by);
        }
    }

    /// A connection of a VM that died ends at its next data.
    fn fail_if_stale(&mut self, context: u32) -> bool {
        let (dead, generation) = (self.vm.is_dead(), self.vm.state().generation);
        let filter = self.connection(context).map(|connection| connection.filter);
        let stale = match filter {
            Some(Filter::Vm {
                generation: own, ..
            }) => dead || own != generation,
            Some(Filter::Nobody) | None => false,
        };
        if stale {
            self.fail(context);
        }
        stale
    }
}

fn size(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
