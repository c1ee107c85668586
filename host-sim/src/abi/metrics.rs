//! Counters, gauges and histograms.

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
            let changed = host.data().shared.increment_metric(id, offset);
            answer(changed.map_err(Into::into))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_record_metric",
        |host: Host<'_>, id: u32, value: u64| {
            let recorded = host.data().shared.record_metric(id, value);
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
    let id = host.data().shared.define_metric(kind, &name)?;
    guest::write_u32(host, id_at, id)
}

fn get(host: &mut Host<'_>, id: u32, value_at: u32) -> Answer {
    let value = host.data().shared.metric_value(id)?;
    guest::write(host, value_at, &value.to_le_bytes())
}
