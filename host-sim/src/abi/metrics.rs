//! Counters, gauges and histograms.

use std::sync::Arc;

use wasmtime::Linker;

use super::{Answer, Host, answer, guest};
use crate::host::HostState;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_define_metric",
        |mut host: Host<'_>, kind: u32, name: u32, name_len: u32, id_at: u32| {
            answer(define(&mut host, kind, (name, name_len), id_at))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_increment_metric",
        |host: Host<'_>, id: u32, offset: i64| {
            let state = host.data();
            let metrics = &mut state.shared.metrics();
            let changed = state.metric_ids.increment(metrics, id, offset);
            answer(changed.map_err(Into::into))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_record_metric",
        |host: Host<'_>, id: u32, value: u64| {
            let state = host.data();
            let recorded = state
                .metric_ids
                .record(&mut state.shared.metrics(), id, value);
            answer(recorded.map_err(Into::into))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_metric",
        |mut host: Host<'_>, id: u32, value_at: u32| answer(get(&mut host, id, value_at)),
    )?;
    Ok(())
}

fn define(host: &mut Host<'_>, kind: u32, name: (u32, u32), id_at: u32) -> Answer {
    let name = guest::read_text(host, name.0, name.1)?;
    let state = host.data_mut();
    let shared = Arc::clone(&state.shared);
    let id = state
        .metric_ids
        .define(&mut shared.metrics(), kind, &name)?;
    guest::write_u32(host, id_at, id)
}

fn get(host: &mut Host<'_>, id: u32, value_at: u32) -> Answer {
    let state = host.data();
    let value = state.metric_ids.value(&mut state.shared.metrics(), id)?;
    guest::write(host, value_at, &value.to_le_bytes())
}
