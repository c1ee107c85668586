//! Envoy's dynamic modules ABI for network filters, as much of it as is used, and all unsafe code
//! of the crate.
//!
//! Envoy promises a version of this ABI for one of its minor releases and the next. The version
//! written here is that of 1.40; another Envoy says in its log that it does not match. Structures go
//! by value, handles are untyped pointers, enumerations C `unsigned int`.
//!
//! What the `SAFETY` notes below rest on, from Envoy's description of the ABI:
//!
//! - a hook is called by the thread of the connection's worker; the handle it is given is valid
//!   for as long as the hook runs, and so is what callbacks return through it;
//! - what [`config_new`] and [`filter_new`] return is handed to the hooks of that configuration and
//!   that connection, and to its destroying hook once, as the last of all;
//! - callbacks only read the memory they are given, and keep none of it.
//!
//! A callback may call hooks of the same connection before it returns (a close tells of the close,
//! a changed limit of a watermark). So hooks only ever share a [`Filter`], and what changes lies in
//! a cell that a hook within a hook leaves alone.
#![allow(unsafe_code)]

use crate::hooks::{Connection, Counter, Level, Listener};
use crate::switch::{Event, Read, Scheduled, Started, Switch, Transport};
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;

/// The version of the ABI that Envoy 1.40 speaks.
const VERSION: &CStr = c"v0.2.0";

/// What a hook for bytes or a new connection answers: go on with the next filter.
const CONTINUE: u32 = 0;
/// The same: the filters behind are not called.
const STOP: u32 = 1;
/// How a connection is closed: at once, without what is still in its buffer.
const CLOSE_NO_FLUSH: u32 = 1;

/// Bytes of Envoy's or of ours, which is told by the place it stands in.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Buffer {
    data: *const c_char,
    length: usize,
}

impl Buffer {
    fn of(text: &str) -> Self {
        Self::of_octets(text.as_bytes())
    }

    fn of_octets(octets: &[u8]) -> Self {
        Self {
            data: octets.as_ptr().cast(),
            length: octets.len(),
        }
    }

    const EMPTY: Self = Self {
        data: ptr::null(),
        length: 0,
    };
}

macro_rules! callbacks {
    ($($(#[$doc:meta])* fn $name:ident = $symbol:literal($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        unsafe extern "C" {
            $($(#[$doc])* #[link_name = concat!("envoy_dynamic_module_callback_", $symbol)]
            fn $name($($argument: $type),*) $(-> $result)?;)*
        }
    };
}

callbacks! {
    fn log = "log"(level: u32, line: Buffer);
    fn define_counter = "network_filter_config_define_counter"(config: *mut c_void, name: Buffer, id: *mut usize) -> u32;
    fn increment_counter = "network_filter_increment_counter"(filter: *mut c_void, id: usize, by: u64) -> u32;
    fn set_state = "network_set_filter_state_bytes"(filter: *mut c_void, key: Buffer, value: Buffer) -> bool;
    /// Of any kind of object, as it serialises itself.
    fn get_state = "network_get_filter_state_typed"(filter: *mut c_void, key: Buffer, value: *mut Buffer) -> bool;
    fn is_ssl = "network_filter_is_ssl"(filter: *mut c_void) -> bool;
    fn drain_read = "network_filter_drain_read_buffer"(filter: *mut c_void, octets: usize) -> bool;
    /// Past this filter, which is the last one in that direction.
    fn write = "network_filter_inject_write_data"(filter: *mut c_void, bytes: Buffer, end: bool);
    fn get_buffer_limit = "network_filter_get_buffer_limit"(filter: *mut c_void) -> u32;
    fn set_buffer_limits = "network_filter_set_buffer_limits"(filter: *mut c_void, limit: u32);
    fn start_tls = "network_filter_start_downstream_secure_transport"(filter: *mut c_void) -> bool;
    fn close = "network_filter_close"(filter: *mut c_void, how: u32);
    fn scheduler_new = "network_filter_scheduler_new"(filter: *mut c_void) -> *mut c_void;
    fn scheduler_commit = "network_filter_scheduler_commit"(scheduler: *mut c_void, event: u64);
    fn scheduler_delete = "network_filter_scheduler_delete"(scheduler: *mut c_void);
}

/// What [`config_new`] returns: one filter of one listener.
struct Configuration {
    listener: Listener,
    /// Envoy's numbers of the counters, in the order of [`Counter::ALL`]. Those it did not take are
    /// not counted.
    counters: [Option<usize>; Counter::ALL.len()],
}

/// What [`filter_new`] returns: one connection.
struct Filter {
    configuration: Arc<Configuration>,
    switch: RefCell<Switch>,
    /// Envoy's scheduler, once there is one.
    scheduler: Cell<*mut c_void>,
}

/// A connection during one hook.
struct Wire<'a> {
    envoy: *mut c_void,
    filter: &'a Filter,
}

impl Transport for Wire<'_> {
    fn drop_read(&self, octets: usize) {
        // SAFETY: the handle is this hook's. Only the hook for bytes that were read comes here.
        unsafe { drain_read(self.envoy, octets) };
    }

    fn say(&self, text: &[u8]) {
        // SAFETY: the handle is this hook's; Envoy copies the text.
        unsafe { write(self.envoy, Buffer::of_octets(text), false) };
    }

    fn buffer_limit(&self) -> u32 {
        // SAFETY: the handle is this hook's.
        unsafe { get_buffer_limit(self.envoy) }
    }

    fn set_buffer_limit(&self, octets: u32) {
        // SAFETY: the handle is this hook's.
        unsafe { set_buffer_limits(self.envoy, octets) };
    }

    fn ask_for_a_turn(&self) -> Scheduled {
        if self.filter.scheduler.get().is_null() {
            // SAFETY: the handle is this hook's.
            self.filter
                .scheduler
                .set(unsafe { scheduler_new(self.envoy) });
        }
        let scheduler = self.filter.scheduler.get();
        if scheduler.is_null() {
            return Scheduled::No;
        }
        // SAFETY: it was made above and is deleted only with the filter. If the connection ends
        // first, Envoy drops what was committed.
        unsafe { scheduler_commit(scheduler, 0) };
        Scheduled::Yes
    }

    fn start_tls(&self) -> Started {
        // SAFETY: the handle is this hook's.
        match unsafe { start_tls(self.envoy) } {
            true => Started::Yes,
            false => Started::NotThere,
        }
    }

    fn close(&self) {
        // SAFETY: the handle is this hook's; Envoy frees the connection later.
        unsafe { close(self.envoy, CLOSE_NO_FLUSH) };
    }
}

impl Connection for Wire<'_> {
    fn is_tls(&self) -> bool {
        // SAFETY: the handle is this hook's.
        unsafe { is_ssl(self.envoy) }
    }

    fn set_state(&self, key: &str, value: &str) {
        // SAFETY: the handle is this hook's; Envoy copies both texts.
        unsafe { set_state(self.envoy, Buffer::of(key), Buffer::of(value)) };
    }

    fn state(&self, key: &str) -> Option<Vec<u8>> {
        let mut value = Buffer::EMPTY;
        // SAFETY: the handle is this hook's; Envoy writes where the value is.
        if !unsafe { get_state(self.envoy, Buffer::of(key), &mut value) } || value.data.is_null() {
            return None;
        }
        // SAFETY: Envoy has said that so many octets are there; they stay until it is called again.
        let octets = unsafe { std::slice::from_raw_parts(value.data.cast::<u8>(), value.length) };
        Some(octets.to_vec())
    }

    fn count(&self, counter: Counter) {
        let number = self.filter.configuration.counters.get(counter as usize);
        if let Some(Some(id)) = number {
            // SAFETY: the handle is this hook's; Envoy looks the number up.
            unsafe { increment_counter(self.envoy, *id, 1) };
        }
    }

    fn log(&self, level: Level, line: &str) {
        write_log(level, line);
    }
}

fn write_log(level: Level, line: &str) {
    let number = match level {
        Level::Warn => 3,
        Level::Error => 4,
    };
    let line = format!("portcullis-starttls: {line}");
    // SAFETY: Envoy only reads the line.
    unsafe { log(number, Buffer::of(&line)) };
}

/// Runs a hook; a panic in it becomes `otherwise`, and not the end of Envoy.
fn guarded<T>(otherwise: T, hook: impl FnOnce() -> T) -> T {
    // What a panic leaves behind is one connection's stage, which is valid at every moment.
    catch_unwind(AssertUnwindSafe(hook)).unwrap_or_else(|_| {
        write_log(Level::Error, "a hook panicked");
        otherwise
    })
}

/// Runs a hook of one connection, unless it runs within another one of the same connection.
///
/// # Safety
/// `envoy` is the handle given to the hook at hand, `filter` what [`filter_new`] has returned.
unsafe fn on_connection(
    envoy: *mut c_void,
    filter: *const c_void,
    hook: impl FnOnce(&mut Switch, &Wire<'_>) -> Option<Event>,
) {
    // SAFETY: by the contract above it points to a live Filter, of which only shared references
    // are ever made.
    let Some(filter) = (unsafe { filter.cast::<Filter>().as_ref() }) else {
        return;
    };
    let wire = Wire { envoy, filter };
    let event = match filter.switch.try_borrow_mut() {
        Ok(mut switch) => hook(&mut switch, &wire),
        Err(_) => return,
    };
    filter.configuration.listener.tell(event, &wire);
}

/// The module is loaded: the ABI's version, for Envoy to compare.
// SAFETY: no other symbol of this name is in the process; Envoy looks for it in this module alone.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    VERSION.as_ptr()
}

/// A filter is configured, on the main thread. Null refuses the configuration.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_config_new(
    envoy: *mut c_void,
    _name: Buffer,
    config: Buffer,
) -> *const c_void {
    guarded(ptr::null(), || {
        if config.length > 0 {
            write_log(
                Level::Error,
                "filter_config must be left out: there is nothing to set",
            );
            return ptr::null();
        }
        let counters = Counter::ALL.map(|counter| {
            let mut id = 0;
            // SAFETY: the handle is this hook's; Envoy copies the name and writes the number.
            let status = unsafe { define_counter(envoy, Buffer::of(counter.name()), &mut id) };
            (status == 0).then_some(id)
        });
        let configuration = Configuration {
            listener: Listener::default(),
            counters,
        };
        Arc::into_raw(Arc::new(configuration)).cast()
    })
}

/// The configuration is gone; connections may still be there.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_config_destroy(config: *const c_void) {
    guarded((), || {
        if !config.is_null() {
            // SAFETY: `config_new` gave this one count away, and it is taken back once.
            drop(unsafe { Arc::from_raw(config.cast::<Configuration>()) });
        }
    });
}

/// A connection has come. Null closes it.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_new(
    config: *const c_void,
    _envoy: *mut c_void,
) -> *const c_void {
    guarded(ptr::null(), || {
        let config = config.cast::<Configuration>();
        if config.is_null() {
            return ptr::null();
        }
        // SAFETY: `config_new` made it by an Arc, whose count it holds as long as the
        // configuration is in use; the count added here is the connection's.
        let configuration = unsafe {
            Arc::increment_strong_count(config);
            Arc::from_raw(config)
        };
        let filter = Filter {
            configuration,
            switch: RefCell::default(),
            scheduler: Cell::new(ptr::null_mut()),
        };
        Box::into_raw(Box::new(filter)).cast_const().cast()
    })
}

/// A connection is announced, before any other filter hears of it.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_new_connection(
    envoy: *mut c_void,
    filter: *const c_void,
) -> u32 {
    guarded(STOP, || {
        // SAFETY: Envoy's handles, as given to this hook.
        unsafe {
            on_connection(envoy, filter, |_, wire| {
                wire.filter.configuration.listener.opened(wire);
                None
            });
        }
        CONTINUE
    })
}

/// Bytes of the client. They are not looked at, but how many they are.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_read(
    envoy: *mut c_void,
    filter: *const c_void,
    length: usize,
    end: bool,
) -> u32 {
    // After a panic it is not known whether they belong before TLS or behind it.
    guarded(STOP, || {
        let mut read = Read::Passes;
        // SAFETY: Envoy's handles, as given to this hook.
        unsafe {
            on_connection(envoy, filter, |switch, wire| {
                let listener = &wire.filter.configuration.listener;
                let (passes, event) = listener.reading(length, switch, wire);
                read = passes;
                event
            });
        }
        match read {
            Read::Passes => CONTINUE,
            // The end of the stream is for the filters behind, too.
            Read::Dropped if end => CONTINUE,
            Read::Dropped => STOP,
        }
    })
}

/// Bytes for the client. They are not looked at either, but the guard may have asked for TLS as it
/// let them pass.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_write(
    envoy: *mut c_void,
    filter: *const c_void,
    _length: usize,
    _end: bool,
) -> u32 {
    // Whether TLS was asked for is not known after a panic: then the 220 must not go out.
    guarded(STOP, || {
        // SAFETY: Envoy's handles, as given to this hook.
        unsafe {
            on_connection(envoy, filter, |switch, wire| {
                wire.filter.configuration.listener.writing(switch, wire);
                None
            });
        }
        CONTINUE
    })
}

/// The connection was closed, by whichever side.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_event(
    _envoy: *mut c_void,
    _filter: *const c_void,
    _event: u32,
) {
}

/// More than its limit waits in the connection's write buffer.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_above_write_buffer_high_watermark(
    _envoy: *mut c_void,
    _filter: *const c_void,
) {
}

/// Half its limit or less is left in it: with a limit of one octet, nothing.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_below_write_buffer_low_watermark(
    envoy: *mut c_void,
    filter: *const c_void,
) {
    guarded((), || {
        // SAFETY: Envoy's handles, as given to this hook.
        unsafe { on_connection(envoy, filter, |switch, wire| switch.drained(wire)) };
    });
}

/// The turn that was asked for.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_scheduled(
    envoy: *mut c_void,
    filter: *const c_void,
    _event: u64,
) {
    guarded((), || {
        // SAFETY: Envoy's handles, as given to this hook.
        unsafe {
            on_connection(envoy, filter, |switch, wire| {
                wire.filter.configuration.listener.turn(switch, wire)
            });
        }
    });
}

/// The connection is gone.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_destroy(filter: *mut c_void) {
    guarded((), || {
        if filter.is_null() {
            return;
        }
        // SAFETY: `filter_new` made it by a Box, and this is the last hook that gets it.
        let filter = unsafe { Box::from_raw(filter.cast::<Filter>()) };
        let scheduler = filter.scheduler.get();
        if !scheduler.is_null() {
            // SAFETY: it was made by `scheduler_new` and is nobody else's.
            unsafe { scheduler_delete(scheduler) };
        }
    });
}

#[cfg(test)]
mod tests;
