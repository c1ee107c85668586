//! Log lines.

use wasmtime::Linker;

use super::{Answer, Host, Status, answer, guest};
use crate::host::HostState;
use crate::module::AbiVersion;
use crate::observe::LogLevel;

pub(super) fn link(linker: &mut Linker<HostState>, abi: AbiVersion) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_log",
        |mut host: Host<'_>, level: u32, text: u32, text_len: u32| {
            answer(log(&mut host, level, text, text_len))
        },
    )?;
    // Envoy has it for those only that speak 0.2.1.
    if abi == AbiVersion::V0_2_0 {
        return Ok(());
    }
    linker.func_wrap(
        "env",
        "proxy_get_log_level",
        |mut host: Host<'_>, level_at: u32| {
            let level = host.data().plugin.log_level as u32;
            answer(guest::write_u32(&mut host, level_at, level))
        },
    )?;
    Ok(())
}

fn log(host: &mut Host<'_>, level: u32, text: u32, text_len: u32) -> Answer {
    let level = LogLevel::from_abi(level).ok_or(Status::BadArgument)?;
    let text = guest::read_text(host, text, text_len)?;
    host.data_mut().log(level, text);
    Ok(())
}
