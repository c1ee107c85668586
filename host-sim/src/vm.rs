//! One instance of a filter and the callbacks it exports.

use std::collections::VecDeque;
use std::rc::Rc;

use wasmtime::{AsContextMut, Instance, Store, TypedFunc, WasmParams, WasmResults};

use crate::callouts::{GrpcTold, HttpResponse};
use crate::error::HostError;
use crate::host::HostState;
use crate::module::{FilterModule, Metering};
use crate::observe::TrapReport;

/// What `proxy_get_status` says after a call without a response.
const NO_RESPONSE: (u32, &str) = (11, "reset");

/// What a data or connection callback returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Continue,
    Pause,
}

impl Action {
    fn from_abi(number: u32) -> Self {
        if number == 0 {
            Self::Continue
        } else {
            Self::Pause
        }
    }
}

/// Which side closed, as `proxy_on_downstream_connection_close` is told.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum CloseBy {
    Unknown = 0,
    Host = 1,
    Remote = 2,
}

/// An exported callback that a filter may leave out.
struct Callback<P, R> {
    name: &'static str,
    function: Option<TypedFunc<P, R>>,
}

impl<P: WasmParams, R: WasmResults> Callback<P, R> {
    fn find(store: &mut Store<HostState>, instance: &Instance, name: &'static str) -> Self {
        let function = instance.get_typed_func(store.as_context_mut(), name).ok();
        Self { name, function }
    }
}

struct Callbacks {
    context_create: Callback<(u32, u32), ()>,
    vm_start: Callback<(u32, u32), u32>,
    configure: Callback<(u32, u32), u32>,
    tick: Callback<u32, ()>,
    queue_ready: Callback<(u32, u32), ()>,
    http_call_response: Callback<(u32, u32, u32, u32, u32), ()>,
    grpc_initial_metadata: Callback<(u32, u32, u32), ()>,
    grpc_receive: Callback<(u32, u32, u32), ()>,
    grpc_trailing_metadata: Callback<(u32, u32, u32), ()>,
    grpc_close: Callback<(u32, u32, u32), ()>,
    new_connection: Callback<u32, u32>,
    downstream_data: Callback<(u32, u32, u32), u32>,
    downstream_close: Callback<(u32, u32), ()>,
    upstream_data: Callback<(u32, u32, u32), u32>,
    upstream_close: Callback<(u32, u32), ()>,
    done: Callback<u32, u32>,
    log: Callback<u32, ()>,
    delete: Callback<u32, ()>,
}

impl Callbacks {
    fn find(store: &mut Store<HostState>, instance: &Instance) -> Self {
        Self {
            context_create: Callback::find(store, instance, "proxy_on_context_create"),
            vm_start: Callback::find(store, instance, "proxy_on_vm_start"),
            configure: Callback::find(store, instance, "proxy_on_configure"),
            tick: Callback::find(store, instance, "proxy_on_tick"),
            queue_ready: Callback::find(store, instance, "proxy_on_queue_ready"),
            http_call_response: Callback::find(store, instance, "proxy_on_http_call_response"),
            grpc_initial_metadata: Callback::find(
                store,
                instance,
                "proxy_on_grpc_receive_initial_metadata",
            ),
            grpc_receive: Callback::find(store, instance, "proxy_on_grpc_receive"),
            grpc_trailing_metadata: Callback::find(
                store,
                instance,
                "proxy_on_grpc_receive_trailing_metadata",
            ),
            grpc_close: Callback::find(store, instance, "proxy_on_grpc_close"),
            new_connection: Callback::find(store, instance, "proxy_on_new_connection"),
            downstream_data: Callback::find(store, instance, "proxy_on_downstream_data"),
            downstream_close: Callback::find(
                store,
                instance,
                "proxy_on_downstream_connection_close",
            ),
            upstream_data: Callback::find(store, instance, "proxy_on_upstream_data"),
            upstream_close: Callback::find(store, instance, "proxy_on_upstream_connection_close"),
            done: Callback::find(store, instance, "proxy_on_done"),
            log: Callback::find(store, instance, "proxy_on_log"),
            delete: Callback::find(store, instance, "proxy_on_delete"),
        }
    }
}

/// A running instance. After a trap it is dead and must not be called again.
pub(crate) struct Vm {
    store: Store<HostState>,
    callbacks: Rc<Callbacks>,
    dead: bool,
}

type Called<R> = Result<R, TrapReport>;

impl Vm {
    /// Instantiates the module, creates its root context and configures it.
    ///
    /// # Errors
    /// When exports are missing, when starting traps, or when the filter
    /// refuses its configuration.
    pub(crate) fn start(module: &FilterModule, state: HostState) -> Result<Self, HostError> {
        let mut store = Store::new(module.engine(), state);
        if module.metering() == Metering::On {
            // An engine that meters has it: more than any filter can use up.
            let _ = store.set_fuel(u64::MAX);
        }
        let instance = module
            .instance()
            .instantiate(store.as_context_mut())
            .map_err(|error| HostError::StartTrapped {
                callback: "instantiate",
                message: format!("{error:#}"),
            })?;
        find_memory(&mut store, &instance)?;
        let mut vm = Self {
            callbacks: Rc::new(Callbacks::find(&mut store, &instance)),
            store,
            dead: false,
        };
        vm.initialize(&instance)?;
        vm.configure()?;
        Ok(vm)
    }

    fn initialize(&mut self, instance: &Instance) -> Result<(), HostError> {
        for name in ["_initialize", "_start"] {
            let entry = Callback::<(), ()>::find(&mut self.store, instance, name);
            if entry.function.is_some() {
                let called = self.call(0, &entry, (), ());
                return called.map_err(|trap| self.start_trapped(trap));
            }
        }
        Ok(())
    }

    fn configure(&mut self) -> Result<(), HostError> {
        let callbacks = Rc::clone(&self.callbacks);
        let (root, plugin) = (self.state().root_context, self.state().plugin.clone());
        self.state_mut().configuring = true;
        self.context_create(root, 0)
            .map_err(|trap| self.start_trapped(trap))?;
        self.state_mut().configuring = false;
        let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let vm_size = size(&plugin.vm_configuration);
        self.accepted("proxy_on_vm_start", |vm| {
            vm.call(root, &callbacks.vm_start, (vm.id(root), vm_size), 1)
        })?;
        let size = size(&plugin.configuration);
        self.state_mut().configuring = true;
        self.accepted("proxy_on_configure", |vm| {
            vm.call(root, &callbacks.configure, (vm.id(root), size), 1)
        })?;
        self.state_mut().configuring = false;
        Ok(())
    }

    fn accepted(
        &mut self,
        callback: &'static str,
        call: impl FnOnce(&mut Self) -> Called<u32>,
    ) -> Result<(), HostError> {
        match call(self) {
            Ok(0) => Err(HostError::ConfigurationRefused {
                callback,
                log: self.log_text(),
            }),
            Ok(_) => Ok(()),
            Err(trap) => Err(self.start_trapped(trap)),
        }
    }

    fn start_trapped(&mut self, trap: TrapReport) -> HostError {
        let log = self.log_text();
        HostError::StartTrapped {
            callback: trap.callback,
            message: [trap.message, log].join("\n").trim_end().to_owned(),
        }
    }

    fn log_text(&self) -> String {
        let lines = self.state().logs.iter().map(|line| line.text.as_str());
        lines.collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn state(&self) -> &HostState {
        self.store.data()
    }

    pub(crate) fn state_mut(&mut self) -> &mut HostState {
        self.store.data_mut()
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead
    }

    /// Bytes of linear memory the guest has grown to.
    pub(crate) fn memory_bytes(&self) -> usize {
        let memory = self.state().memory;
        memory.map_or(0, |memory| memory.data_size(&self.store))
    }

    /// Instructions that the guest has run, where they are counted.
    pub(crate) fn instructions(&self) -> Option<u64> {
        let left = self.store.get_fuel().ok()?;
        Some(u64::MAX - left)
    }

    pub(crate) fn context_create(&mut self, context: u32, parent: u32) -> Called<()> {
        let callbacks = Rc::clone(&self.callbacks);
        let ids = (self.id(context), self.id(parent));
        self.call(context, &callbacks.context_create, ids, ())
    }

    /// What the guest calls a context; 0 for one that it does not know.
    fn id(&self, context: u32) -> u32 {
        self.state().id(context).unwrap_or(0)
    }

    pub(crate) fn new_connection(&mut self, context: u32) -> Called<Action> {
        let callbacks = Rc::clone(&self.callbacks);
        self.call(context, &callbacks.new_connection, self.id(context), 0)
            .map(Action::from_abi)
    }

    pub(crate) fn downstream_data(
        &mut self,
        context: u32,
        size: u32,
        ended: bool,
    ) -> Called<Action> {
        let callbacks = Rc::clone(&self.callbacks);
        let parameters = (self.id(context), size, u32::from(ended));
        self.call(context, &callbacks.downstream_data, parameters, 0)
            .map(Action::from_abi)
    }

    pub(crate) fn upstream_data(&mut self, context: u32, size: u32, ended: bool) -> Called<Action> {
        let callbacks = Rc::clone(&self.callbacks);
        let parameters = (self.id(context), size, u32::from(ended));
        self.call(context, &callbacks.upstream_data, parameters, 0)
            .map(Action::from_abi)
    }

    pub(crate) fn downstream_close(&mut self, context: u32, by: CloseBy) -> Called<()> {
        let callbacks = Rc::clone(&self.callbacks);
        let parameters = (self.id(context), by as u32);
        self.call(context, &callbacks.downstream_close, parameters, ())
    }

    pub(crate) fn upstream_close(&mut self, context: u32, by: CloseBy) -> Called<()> {
        let callbacks = Rc::clone(&self.callbacks);
        let parameters = (self.id(context), by as u32);
        self.call(context, &callbacks.upstream_close, parameters, ())
    }

    /// `on_done`, `on_log`, `on_delete`: the context is no more afterwards.
    pub(crate) fn end_context(&mut self, context: u32) -> Called<()> {
        let callbacks = Rc::clone(&self.callbacks);
        let id = self.id(context);
        self.call(context, &callbacks.done, id, 1)?;
        self.call(context, &callbacks.log, id, ())?;
        self.call(context, &callbacks.delete, id, ())
    }

    pub(crate) fn tick(&mut self) -> Called<()> {
        let callbacks = Rc::clone(&self.callbacks);
        let root = self.state().root_context;
        self.call(root, &callbacks.tick, self.id(root), ())
    }

    pub(crate) fn queue_ready(&mut self, token: u32) -> Called<()> {
        let callbacks = Rc::clone(&self.callbacks);
        let root = self.state().root_context;
        self.call(root, &callbacks.queue_ready, (self.id(root), token), ())
    }

    /// Tells the root context of an answer, which hostcalls can read meanwhile.
    /// No response at all (it was too large) shows as one without headers.
    pub(crate) fn http_call_response(
        &mut self,
        token: u32,
        response: Option<HttpResponse>,
    ) -> Called<()> {
        let callbacks = Rc::clone(&self.callbacks);
        let root = self.state().root_context;
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let (headers, body, trailers) = response.as_ref().map_or((0, 0, 0), |response| {
            let (headers, trailers) = (&response.headers, &response.trailers);
            let body = count(response.body.len());
            (count(headers.len()), body, count(trailers.len()))
        });
        let state = self.state_mut();
        if response.is_none() {
            state.call_status = (NO_RESPONSE.0, NO_RESPONSE.1.to_owned());
        }
        state.response = response;
        let parameters = (self.id(root), token, headers, body, trailers);
        let called = self.call(root, &callbacks.http_call_response, parameters, ());
        let state = self.state_mut();
        state.response = None;
        // The code stays, the text does not.
        state.call_status.1.clear();
        called
    }

    /// Tells the root context something of a gRPC call, which hostcalls can read
    /// meanwhile.
    pub(crate) fn grpc_told(&mut self, token: u32, told: GrpcTold) -> Called<()> {
        let callbacks = Rc::clone(&self.callbacks);
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let (callback, last) = match &told {
            GrpcTold::InitialMetadata(pairs) => {
                (&callbacks.grpc_initial_metadata, count(pairs.len()))
            }
            GrpcTold::Receive(bytes) => (&callbacks.grpc_receive, count(bytes.len())),
            GrpcTold::TrailingMetadata(pairs) => {
                (&callbacks.grpc_trailing_metadata, count(pairs.len()))
            }
            GrpcTold::Close(status, _) => (&callbacks.grpc_close, *status),
        };
        let root = self.state().root_context;
        let state = self.state_mut();
        // Who is not told by a callback is told by nothing.
        if let (GrpcTold::Close(status, message), Some(_)) = (&told, &callback.function) {
            state.call_status = (*status, message.clone());
        }
        state.grpc_told = Some(told);
        let called = self.call(root, callback, (self.id(root), token, last), ());
        let state = self.state_mut();
        if let Some(GrpcTold::Close(..)) = state.grpc_told.take() {
            state.call_status.1.clear();
        }
        called
    }

    fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        context: u32,
        callback: &Callback<P, R>,
        parameters: P,
        absent: R,
    ) -> Called<R> {
        let Some(function) = &callback.function else {
            return Ok(absent);
        };
        let state = self.store.data_mut();
        state.current = context;
        state.effective = 0;
        let result = function.call(self.store.as_context_mut(), parameters);
        result.map_err(|error| {
            self.dead = true;
            let state = self.store.data_mut();
            state.after_calls = VecDeque::new();
            TrapReport {
                at: state.now,
                worker: state.worker,
                context,
                callback: callback.name,
                message: format!("{error:#}"),
            }
        })
    }
}

fn find_memory(store: &mut Store<HostState>, instance: &Instance) -> Result<(), HostError> {
    let memory = instance
        .get_memory(store.as_context_mut(), "memory")
        .ok_or(HostError::MissingExport { name: "memory" })?;
    let allocate = ["proxy_on_memory_allocate", "malloc"]
        .into_iter()
        .find_map(|name| instance.get_typed_func(store.as_context_mut(), name).ok())
        .ok_or(HostError::MissingExport {
            name: "proxy_on_memory_allocate",
        })?;
    let state = store.data_mut();
    state.memory = Some(memory);
    state.allocate = Some(allocate);
    Ok(())
}
