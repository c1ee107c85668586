//! One worker as the host sees it: its root context.

use crate::connection::Connection;
use crate::desk::Desk;
use crate::fleet;
use crate::host;
use crate::ledger;
use crate::stream::Stream;
use crate::worker::{Errand, Later, Worker};
use portcullis_core::policy::Policy;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, RootContext, StreamContext};
use proxy_wasm::types::{BufferType, ContextType};
use std::cell::RefCell;
use std::rc::Rc;

/// Shared data under which workers take their numbers.
const WORKERS_KEY: &str = "portcullis.workers";

/// The root context: without a worker until its configuration was accepted.
pub(crate) struct Root {
    context_id: u32,
    worker: Option<Rc<RefCell<Worker>>>,
}

impl Root {
    fn desk(&self) -> Option<Desk<'_>> {
        let worker = self.worker.as_ref()?;
        Some(Desk::new(worker, self.context_id))
    }

    pub(crate) fn new(context_id: u32) -> Self {
        Self {
            context_id,
            worker: None,
        }
    }

    fn start(&self) -> Result<Worker, String> {
        let bytes = host::buffer(BufferType::PluginConfiguration);
        let policy = Policy::read(&bytes).map_err(|error| error.to_string())?;
        let number = worker_number()?;
        // A queue wakes the last context that registered it, so each has one of its own.
        let queue = hostcalls::register_shared_queue(&format!("portcullis.worker.{number}"))
            .map_err(|status| format!("no shared queue: status {}", status as u32))?;
        Ok(Worker::new(policy, queue))
    }

    fn run(&self, errand: Errand) {
        let done = match errand {
            Errand::Close(id) => host::as_context(id, self.context_id, host::close),
            Errand::GoOn(id) => return self.go_on(id),
            Errand::Listed(client) => {
                let worker = self.worker.iter();
                return worker.for_each(|worker| ledger::cut(worker, self.context_id, client));
            }
            Errand::LookUp => return self.desk().iter().for_each(Desk::begin),
            Errand::Published(client) => {
                let desk = self.desk();
                return desk.iter().for_each(|desk| desk.published(client));
            }
            Errand::Restore(id) => {
                let overflow = self.worker.as_ref().and_then(|worker| {
                    let mut worker = worker.borrow_mut();
                    worker.take_overflow(id)
                });
                let Some(bytes) = overflow else { return };
                let restored = host::as_context(id, self.context_id, || {
                    host::prepend_buffer(BufferType::DownstreamData, &bytes)
                });
                // A connection without these bytes would have a hole in it.
                restored.or_else(|_| host::as_context(id, self.context_id, host::close))
            }
        };
        // The connection may have ended by itself meanwhile.
        if let Err(refused) = done {
            log::debug!("{errand:?}: {refused}");
        }
    }
}

impl Root {
    /// Lets a connection go on, or the one behind it if it is gone.
    fn go_on(&self, id: u32) {
        let Some(worker) = &self.worker else { return };
        let Some(connection) = self.connection(id) else {
            return;
        };
        let done = host::as_context(id, self.context_id, || connection.go_on());
        if let Err(refused) = done {
            log::debug!("a connection that waited is gone: {refused}");
            if let Some(client) = connection.seat() {
                ledger::wake(&mut worker.borrow_mut(), client);
            }
        }
    }
}

impl Root {
    fn connection(&self, id: u32) -> Option<Rc<Connection>> {
        let worker = self.worker.as_ref()?.borrow();
        worker.connections.get(&id).cloned()
    }

    fn do_now(&self, what: Later) {
        let id = match what {
            Later::Read(id) | Later::Answer(id) | Later::LetGo(id) => id,
            Later::Release(client, recipients) => {
                let worker = self.worker.iter();
                return worker
                    .for_each(|w| ledger::release(&mut w.borrow_mut(), client, recipients));
            }
        };
        let Some(connection) = self.connection(id) else {
            return;
        };
        let done = host::as_context(id, self.context_id, || match what {
            Later::Read(_) => connection.read_now(),
            Later::Answer(_) => connection.answer(),
            Later::LetGo(_) => connection.let_go(),
            Later::Release(..) => Ok(()),
        });
        if let Err(refused) = done {
            log::debug!("{what:?}: {refused}");
        }
    }
}

impl Context for Root {
    fn on_http_call_response(
        &mut self,
        token: u32,
        headers: usize,
        body_size: usize,
        _trailers: usize,
    ) {
        let worker = self.worker.as_ref();
        let taken =
            worker.is_some_and(|w| fleet::response(&mut w.borrow_mut(), token, headers, body_size));
        if let Some(desk) = self.desk().filter(|_| !taken) {
            desk.response(token, headers, body_size);
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        match self.start() {
            Ok(worker) => {
                let worker = self.worker.insert(Rc::new(RefCell::new(worker)));
                let mut worker = worker.borrow_mut();
                worker.set_pace();
                worker.tell_time();
                true
            }
            Err(error) => {
                log::error!("configuration refused: {error}");
                false
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::StreamContext)
    }

    fn create_stream_context(&self, context_id: u32) -> Option<Box<dyn StreamContext>> {
        Some(Box::new(Stream::new(context_id, self.worker.clone())))
    }

    fn on_queue_ready(&mut self, queue: u32) {
        // What these errands put into the queue has a callback of its own: what they send on has
        // not left before this one is over.
        let mut errands = Vec::new();
        while let Ok(Some(message)) = hostcalls::dequeue_shared_queue(queue) {
            errands.extend(Errand::decode(&message));
        }
        for errand in errands {
            self.run(errand);
        }
    }

    fn on_tick(&mut self) {
        let due = match &self.worker {
            Some(worker) => {
                let mut worker = worker.borrow_mut();
                worker.tell_time();
                worker.take_stock();
                worker.ticked()
            }
            None => return,
        };
        for context_id in due {
            self.run(Errand::Close(context_id));
        }
        let later = self.worker.as_ref().map(|worker| worker.borrow_mut().due());
        for what in later.into_iter().flatten() {
            self.do_now(what);
        }
        if let Some(worker) = &self.worker {
            fleet::tick(&mut worker.borrow_mut());
        }
        if let Some(desk) = self.desk() {
            desk.tick();
        }
    }
}

/// A number no other root context of this VM id has.
fn worker_number() -> Result<u32, String> {
    let number = host::update_shared(WORKERS_KEY, |bytes| {
        let taken = bytes.try_into().map_or(0, u32::from_le_bytes);
        let number = taken.wrapping_add(1);
        (number, number.to_le_bytes().to_vec())
    });
    number.ok_or_else(|| "no worker number: shared data cannot be changed".to_owned())
}
