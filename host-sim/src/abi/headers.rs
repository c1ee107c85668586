//! Header maps: a network filter has none, and Envoy says `BadArgument`.

use wasmtime::Linker;

use super::{Host, Status};
use crate::host::HostState;

const NO_MAP: u32 = Status::BadArgument as u32;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_header_map_pairs",
        |_: Host<'_>, _: u32, _: u32, _: u32| -> u32 { NO_MAP },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_header_map_pairs",
        |_: Host<'_>, _: u32, _: u32, _: u32| -> u32 { NO_MAP },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_size",
        |_: Host<'_>, _: u32, _: u32| -> u32 { NO_MAP },
    )?;
    linker.func_wrap(
        "env",
        "proxy_remove_header_map_value",
        |_: Host<'_>, _: u32, _: u32, _: u32| -> u32 { NO_MAP },
    )?;
    for name in [
        "proxy_get_header_map_value",
        "proxy_replace_header_map_value",
        "proxy_add_header_map_value",
    ] {
        linker.func_wrap(
            "env",
            name,
            |_: Host<'_>, _: u32, _: u32, _: u32, _: u32, _: u32| -> u32 { NO_MAP },
        )?;
    }
    Ok(())
}
