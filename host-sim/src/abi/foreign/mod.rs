//! The foreign functions that Envoy 1.40 registers, as far as a network filter can use
//! them. What is not there is `NotFound`; what Envoy has and this host has not is
//! `Unimplemented`.

mod compression;
mod filter_state;
mod messages;

use prost::Message;
use wasmtime::Linker;

use super::{Answer, Host, Status, answer, guest};
use crate::host::HostState;
use messages::{DeclareProperty, SetFilterState, Sign, VerifySignature};

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_call_foreign_function",
        |mut host: Host<'_>,
         name: u32,
         name_len: u32,
         arguments: u32,
         arguments_len: u32,
         ptr_at: u32,
         size_at: u32| {
            answer(call(
                &mut host,
                (name, name_len),
                (arguments, arguments_len),
                (ptr_at, size_at),
            ))
        },
    )?;
    Ok(())
}

fn call(
    host: &mut Host<'_>,
    name: (u32, u32),
    arguments: (u32, u32),
    results: (u32, u32),
) -> Answer {
    let name = guest::read_text(host, name.0, name.1)?;
    let arguments = guest::read(host, arguments.0, arguments.1)?;
    let result = run(host.data_mut(), &name, &arguments)?;
    match results {
        // Who wants no result, or not its size, gives no place for it.
        (0, 0) => Ok(()),
        (0, size_at) => guest::write_u32(host, size_at, guest::size(&result)?),
        (ptr_at, 0) => guest::hand_over_at(host, &result, ptr_at),
        (ptr_at, size_at) => guest::hand_over(host, &result, ptr_at, size_at),
    }
}

fn run(state: &mut HostState, name: &str, arguments: &[u8]) -> Result<Vec<u8>, Status> {
    match name {
        "set_envoy_filter_state" => {
            let given = SetFilterState::decode(arguments).map_err(|_| Status::BadArgument)?;
            set_filter_state(state, given).map(|()| Vec::new())
        }
        "declare_property" => {
            let given = DeclareProperty::decode(arguments).map_err(|_| Status::BadArgument)?;
            state
                .declare(given.name, given.readonly)
                .map(|()| Vec::new())
        }
        "compress" => Ok(compression::compress(arguments)),
        "uncompress" => compression::uncompress(arguments),
        // There is no route; Envoy says Ok all the same.
        "clear_route_cache" => Ok(Vec::new()),
        "verify_signature" => match VerifySignature::decode(arguments) {
            Ok(given) if given.has_a_key() => Err(Status::Unimplemented),
            Ok(_) | Err(_) => Err(Status::BadArgument),
        },
        "sign" => match Sign::decode(arguments) {
            Ok(given) if given.has_a_key() => Err(Status::Unimplemented),
            Ok(_) | Err(_) => Err(Status::BadArgument),
        },
        // An expression is named by a number of four bytes.
        "expr_evaluate" | "expr_delete" if arguments.len() != 4 => Err(Status::BadArgument),
        "expr_create" | "expr_evaluate" | "expr_delete" => Err(Status::Unimplemented),
        _ => Err(Status::NotFound),
    }
}

/// The key is looked at first, then the value, and only then whether there is a
/// connection to set it on.
fn set_filter_state(state: &mut HostState, given: SetFilterState) -> Result<(), Status> {
    filter_state::check(&given.path, &given.value)?;
    let connection = state.effective_connection_mut().ok_or(Status::NotFound)?;
    let value = String::from_utf8_lossy(&given.value).into_owned();
    connection.envoy_filter_state.insert(given.path, value);
    Ok(())
}
