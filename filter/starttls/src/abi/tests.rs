//! The hooks, called as Envoy calls them, against callbacks that write down what they are told.

use super::*;
use std::cell::RefCell;

#[derive(Debug, Default)]
struct Envoy {
    told: Vec<String>,
    /// Filter state and its value.
    state: Vec<(String, &'static str)>,
    tls: bool,
    has_socket: bool,
    /// Whether a change of the limit tells of a watermark at once, as Envoy may.
    filter: Option<*const c_void>,
}

thread_local! {
    static ENVOY: RefCell<Envoy> = RefCell::default();
}

fn tell(what: impl Into<String>) {
    ENVOY.with_borrow_mut(|envoy| envoy.told.push(what.into()));
}

fn told() -> Vec<String> {
    ENVOY.with_borrow_mut(|envoy| std::mem::take(&mut envoy.told))
}

fn text(buffer: Buffer) -> String {
    // SAFETY: the crate hands over live text.
    let octets = unsafe { std::slice::from_raw_parts(buffer.data.cast::<u8>(), buffer.length) };
    String::from_utf8_lossy(octets).into_owned()
}

/// Stands for Envoy's handles, none of which is looked into.
fn handle() -> *mut c_void {
    ptr::dangling_mut::<u64>().cast()
}

macro_rules! envoy {
    ($(fn $symbol:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? $body:block)*) => {
        $(
            // SAFETY: this is the only definition in the test's process.
            #[unsafe(no_mangle)]
            extern "C" fn $symbol($($argument: $type),*) $(-> $result)? $body
        )*
    };
}

envoy! {
    fn envoy_dynamic_module_callback_log(level: u32, line: Buffer) {
        tell(format!("log {level} {}", text(line)));
    }
    fn envoy_dynamic_module_callback_network_filter_config_define_counter(
        _config: *mut c_void, _name: Buffer, id: *mut usize
    ) -> u32 {
        // SAFETY: the crate hands over a place of its own.
        unsafe { *id = 7 };
        0
    }
    fn envoy_dynamic_module_callback_network_filter_increment_counter(
        _filter: *mut c_void, id: usize, by: u64
    ) -> u32 {
        tell(format!("count {id} {by}"));
        0
    }
    fn envoy_dynamic_module_callback_network_set_filter_state_bytes(
        _filter: *mut c_void, key: Buffer, value: Buffer
    ) -> bool {
        tell(format!("state {} {}", text(key), text(value)));
        true
    }
    fn envoy_dynamic_module_callback_network_get_filter_state_typed(
        _filter: *mut c_void, key: Buffer, value: *mut Buffer
    ) -> bool {
        let key = text(key);
        ENVOY.with_borrow(|envoy| {
            let Some((_, word)) = envoy.state.iter().find(|(name, _)| *name == key) else {
                return false;
            };
            // SAFETY: the crate hands over a place of its own.
            unsafe { *value = Buffer::of(word) };
            true
        })
    }
    fn envoy_dynamic_module_callback_network_filter_is_ssl(_filter: *mut c_void) -> bool {
        ENVOY.with_borrow(|envoy| envoy.tls)
    }
    fn envoy_dynamic_module_callback_network_filter_drain_read_buffer(
        _filter: *mut c_void, octets: usize
    ) -> bool {
        tell(format!("drain {octets}"));
        true
    }
    fn envoy_dynamic_module_callback_network_filter_inject_write_data(
        _filter: *mut c_void, bytes: Buffer, _end: bool
    ) {
        tell(format!("say {}", text(bytes).trim_ascii_end()));
    }
    fn envoy_dynamic_module_callback_network_filter_get_buffer_limit(_filter: *mut c_void) -> u32 {
        65536
    }
    fn envoy_dynamic_module_callback_network_filter_set_buffer_limits(
        filter: *mut c_void, limit: u32
    ) {
        tell(format!("limit {limit}"));
        if let Some(own) = ENVOY.with_borrow(|envoy| envoy.filter) {
            envoy_dynamic_module_on_network_filter_below_write_buffer_low_watermark(filter, own);
        }
    }
    fn envoy_dynamic_module_callback_network_filter_start_downstream_secure_transport(
        _filter: *mut c_void
    ) -> bool {
        tell("start");
        ENVOY.with_borrow(|envoy| envoy.has_socket)
    }
    fn envoy_dynamic_module_callback_network_filter_close(_filter: *mut c_void, how: u32) {
        tell(format!("close {how}"));
    }
    fn envoy_dynamic_module_callback_network_filter_scheduler_new(
        _filter: *mut c_void
    ) -> *mut c_void {
        tell("scheduler_new");
        handle()
    }
    fn envoy_dynamic_module_callback_network_filter_scheduler_commit(
        _scheduler: *mut c_void, _event: u64
    ) {
        tell("scheduler_commit");
    }
    fn envoy_dynamic_module_callback_network_filter_scheduler_delete(_scheduler: *mut c_void) {
        tell("scheduler_delete");
    }
}

fn configure() -> *const c_void {
    envoy_dynamic_module_on_network_filter_config_new(handle(), Buffer::of("x"), Buffer::EMPTY)
}

fn connect(config: *const c_void) -> *const c_void {
    let filter = envoy_dynamic_module_on_network_filter_new(config, handle());
    let status = envoy_dynamic_module_on_network_filter_new_connection(handle(), filter);
    assert_eq!(status, CONTINUE);
    ENVOY.with_borrow_mut(|envoy| envoy.filter = Some(filter));
    filter
}

/// What the guard leaves for the module.
fn leave(key: &str, word: &'static str) {
    ENVOY.with_borrow_mut(|envoy| envoy.state.push((key.to_owned(), word)));
}

fn ask_for(word: &'static str) {
    leave(crate::hooks::ASKED, word);
}

fn ask() {
    ask_for("start");
}

fn read(filter: *const c_void, octets: usize) -> u32 {
    envoy_dynamic_module_on_network_filter_read(handle(), filter, octets, false)
}

/// The guard lets a 220 pass, it leaves, and the turn comes.
fn switch(filter: *const c_void) {
    let status = envoy_dynamic_module_on_network_filter_write(handle(), filter, 30, false);
    assert_eq!(status, CONTINUE);
    envoy_dynamic_module_on_network_filter_below_write_buffer_low_watermark(handle(), filter);
    envoy_dynamic_module_on_network_filter_scheduled(handle(), filter, 0);
}

#[test]
fn a_connection_is_switched_and_leaves_nothing_behind() {
    ENVOY.with_borrow_mut(|envoy| envoy.has_socket = true);
    let config = configure();
    let filter = connect(config);
    assert_eq!(told(), ["state portcullis.starttls answers-again"]);
    assert_eq!(read(filter, 6), CONTINUE);
    envoy_dynamic_module_on_network_filter_write(handle(), filter, 6, false);
    envoy_dynamic_module_on_network_filter_below_write_buffer_low_watermark(handle(), filter);
    assert!(told().is_empty(), "nobody has asked");
    ask();
    switch(filter);
    let expected = [
        "limit 1",
        "scheduler_new",
        "scheduler_commit",
        "limit 65536",
        "start",
        "count 7 1",
    ];
    assert_eq!(
        told(),
        expected,
        "watermarks told within a hook change nothing"
    );
    switch(filter);
    assert!(told().is_empty(), "once is enough");
    assert_eq!(read(filter, 6), CONTINUE);
    assert_eq!(
        told(),
        ["scheduler_commit"],
        "the guard may know the answer"
    );
    envoy_dynamic_module_on_network_filter_scheduled(handle(), filter, 0);
    assert!(told().is_empty(), "it does not");
    leave(crate::hooks::SAYS, "250 mx");
    assert_eq!(read(filter, 10), CONTINUE);
    envoy_dynamic_module_on_network_filter_scheduled(handle(), filter, 0);
    assert!(told().is_empty(), "and will not be asked again");
    // A policy may go before its connections.
    envoy_dynamic_module_on_network_filter_config_destroy(config);
    envoy_dynamic_module_on_network_filter_event(handle(), filter, 0);
    ENVOY.with_borrow_mut(|envoy| envoy.filter = None);
    envoy_dynamic_module_on_network_filter_destroy(filter.cast_mut());
    assert_eq!(told(), ["scheduler_delete"]);
}

#[test]
fn a_220_is_said_where_the_guard_asks_for_it() {
    ENVOY.with_borrow_mut(|envoy| envoy.has_socket = true);
    let scheduled = envoy_dynamic_module_on_network_filter_scheduled;
    let config = configure();
    // In the turn, or when more comes before it; what comes is dropped then.
    for more in [false, true] {
        ENVOY.with_borrow_mut(|envoy| envoy.state.clear());
        let filter = connect(config);
        told();
        assert_eq!(read(filter, 10), CONTINUE);
        assert_eq!(told(), ["scheduler_new", "scheduler_commit"]);
        scheduled(handle(), filter, 0);
        assert!(told().is_empty(), "nobody has asked");
        assert_eq!(read(filter, 10), CONTINUE);
        ask_for("220 go\r\n");
        envoy_dynamic_module_on_network_filter_write(handle(), filter, 30, false);
        assert_eq!(told(), ["scheduler_commit"], "the server's last words pass");
        if more {
            assert_eq!(read(filter, 4), STOP);
            assert_eq!(told(), ["limit 1", "say 220 go", "drain 4", "count 7 1"]);
        } else {
            scheduled(handle(), filter, 0);
            assert_eq!(told(), ["limit 1", "say 220 go"]);
        }
        envoy_dynamic_module_on_network_filter_below_write_buffer_low_watermark(handle(), filter);
        scheduled(handle(), filter, 0);
        let expected = ["scheduler_commit", "limit 65536", "start", "count 7 1"];
        assert_eq!(told(), expected);
        // What the client says first under TLS, too: in the turn, or before what comes next.
        assert_eq!(read(filter, 25), CONTINUE);
        assert_eq!(told(), ["scheduler_commit"]);
        leave(crate::hooks::SAYS, "250 mx");
        if more {
            assert_eq!(read(filter, 4), CONTINUE);
        }
        scheduled(handle(), filter, 0);
        assert_eq!(told(), ["say 250 mx"], "once, and nothing is dropped");
        envoy_dynamic_module_on_network_filter_destroy(filter.cast_mut());
    }
}

#[test]
fn a_listener_that_cannot_start_tls_is_told_of_once() {
    let config = configure();
    for (number, lines) in [(0, 1), (1, 0)] {
        ENVOY.with_borrow_mut(|envoy| envoy.state.clear());
        let filter = envoy_dynamic_module_on_network_filter_new(config, handle());
        ask();
        switch(filter);
        let told = told();
        assert!(told.contains(&"close 1".to_owned()), "{number}: {told:?}");
        let logged = told
            .iter()
            .filter(|line| line.starts_with("log 4 "))
            .count();
        assert_eq!(logged, lines, "{told:?}");
        envoy_dynamic_module_on_network_filter_destroy(filter.cast_mut());
    }
    told();
    connect(config);
    let expected = ["count 7 1", "state portcullis.starttls unavailable"];
    assert_eq!(told(), expected, "it is not offered any more");
}

#[test]
fn under_tls_from_the_start_there_is_nothing_to_offer() {
    ENVOY.with_borrow_mut(|envoy| envoy.tls = true);
    connect(configure());
    assert!(told().is_empty());
}

#[test]
fn what_envoy_hands_over_wrongly_is_refused() {
    let refused = envoy_dynamic_module_on_network_filter_config_new(
        handle(),
        Buffer::of("x"),
        Buffer::of("{}"),
    );
    assert!(refused.is_null());
    assert!(told().iter().any(|line| line.contains("filter_config")));
    assert!(envoy_dynamic_module_on_network_filter_new(ptr::null(), handle()).is_null());
    switch(ptr::null());
    envoy_dynamic_module_on_network_filter_destroy(ptr::null_mut());
    envoy_dynamic_module_on_network_filter_config_destroy(ptr::null());
    assert!(told().is_empty());
}

#[test]
fn no_panic_crosses_a_hook() {
    let value = guarded(STOP, || -> u32 { panic!("a fault of ours") });
    assert_eq!(value, STOP);
    assert!(told().iter().any(|line| line.contains("a hook panicked")));
}

#[test]
fn the_version_is_the_one_of_envoy_1_40() {
    let version = envoy_dynamic_module_on_program_init();
    // SAFETY: it is a constant of the crate.
    let version = unsafe { CStr::from_ptr(version) };
    assert_eq!(version.to_str(), Ok("v0.2.0"));
}
