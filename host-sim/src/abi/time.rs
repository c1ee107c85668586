//! The clock and the tick.

use std::time::Duration;

use wasmtime::Linker;

use super::{Host, Status, answer, guest};
use crate::host::HostState;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_current_time_nanoseconds",
        |mut host: Host<'_>, time_at: u32| {
            let state = host.data();
            let nanos = state.shared.wall_nanos(state.now).to_le_bytes();
            answer(guest::write(&mut host, time_at, &nanos))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_tick_period_milliseconds",
        |mut host: Host<'_>, period: u32| -> u32 {
            host.data_mut()
                .set_tick(Duration::from_millis(u64::from(period)));
            Status::Ok as u32
        },
    )?;
    Ok(())
}
