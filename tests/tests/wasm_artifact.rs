//! What the built filter is: fresh, small, asking its host only for proxy-wasm
//! calls, and speaking the ABI version that Envoy looks for.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wasmparser::{ExternalKind, Parser, Payload};

/// Envoy compiles the module once per worker at every start and policy change.
const MAX_SIZE: usize = 298 * 1024;
/// The same with rustup's standard library, which has more to say when it panics.
const MAX_SIZE_BY_RUSTUP: usize = 360 * 1024;

/// Envoy takes the ABI's version from the name of this export alone.
const ABI_EXPORT: &str = "proxy_abi_version_0_2_1";

/// What a module asks for and offers, as `module.name` and as bare names.
#[derive(Default)]
struct Interface {
    imports: Vec<String>,
    exported_functions: Vec<String>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn artifact() -> PathBuf {
    env::var_os("PORTCULLIS_WASM")
        .map_or_else(|| root().join("target/portcullis.wasm"), PathBuf::from)
}

fn read() -> Result<Vec<u8>> {
    let path = artifact();
    std::fs::read(&path).with_context(|| format!("{}; mend: make wasm", path.display()))
}

fn interface(module: &[u8]) -> Result<Interface> {
    let mut interface = Interface::default();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    interface
                        .imports
                        .push(format!("{}.{}", import.module, import.name));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    if export.kind == ExternalKind::Func {
                        interface.exported_functions.push(export.name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    Ok(interface)
}

#[test]
fn is_built_from_the_sources_at_hand() -> Result<()> {
    let check = Command::new(root().join("scripts/wasm-sources"))
        .arg("--verify")
        .arg(artifact())
        .output()
        .context("scripts/wasm-sources")?;
    ensure!(
        check.status.success(),
        "{}",
        String::from_utf8_lossy(&check.stderr)
    );
    Ok(())
}

#[test]
fn is_smaller_than_its_limit() -> Result<()> {
    let size = read()?.len();
    let toolchain = artifact().with_file_name("wasm32").join("toolchain");
    let toolchain = std::fs::read_to_string(toolchain).unwrap_or_default();
    let limit = match toolchain.trim() {
        "rustup" => MAX_SIZE_BY_RUSTUP,
        _ => MAX_SIZE,
    };
    ensure!(
        size < limit,
        "the filter has {size} bytes, the limit is {limit}"
    );
    Ok(())
}

#[test]
fn imports_proxy_wasm_calls_and_nothing_else() -> Result<()> {
    let imports = interface(&read()?)?.imports;
    let foreign: Vec<_> = imports
        .iter()
        .filter(|name| !name.starts_with("env.proxy_"))
        .collect();
    ensure!(foreign.is_empty(), "imports that no host has: {foreign:?}");
    ensure!(
        !imports.is_empty(),
        "the filter asks nothing of its host, so it cannot do anything"
    );
    Ok(())
}

#[test]
fn speaks_the_abi_that_envoy_looks_for() -> Result<()> {
    let exports = interface(&read()?)?.exported_functions;
    ensure!(
        exports.iter().any(|name| name == ABI_EXPORT),
        "no exported function {ABI_EXPORT}, only {exports:?}"
    );
    Ok(())
}
