//! A filter to run, compiled.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::{Config, Engine, InstancePre, Linker, Module, UnknownImportError};

use crate::abi;
use crate::error::HostError;
use crate::host::HostState;

/// The version of the ABI that a filter speaks, told by the name of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbiVersion {
    /// `proxy_abi_version_0_2_0`: as 0.2.1, without `proxy_get_log_level`.
    V0_2_0,
    /// `proxy_abi_version_0_2_1`.
    V0_2_1,
}

impl AbiVersion {
    /// Envoy loads no module that tells no version; here such a one, as small tests are,
    /// speaks the newest.
    fn of(module: &Module) -> Result<Self, HostError> {
        let told = module
            .exports()
            .find_map(|export| export.name().strip_prefix("proxy_abi_version_"));
        match told {
            None | Some("0_2_1") => Ok(Self::V0_2_1),
            Some("0_2_0") => Ok(Self::V0_2_0),
            Some(other) => Err(HostError::UnknownAbi {
                version: other.replace('_', "."),
            }),
        }
    }
}

/// Whether the instructions that a filter runs are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metering {
    Off,
    On,
}

/// A compiled filter. Cloning is cheap, so compile once and run often.
#[derive(Clone)]
pub struct FilterModule {
    engine: Engine,
    metering: Metering,
    abi: AbiVersion,
    instance: Arc<InstancePre<HostState>>,
}

impl FilterModule {
    /// A filter without any callback: it lets everything pass.
    ///
    /// # Errors
    /// As [`Self::from_bytes`].
    pub fn without_callbacks() -> Result<Self, HostError> {
        let text = r#"(module (memory (export "memory") 1)
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 0))"#;
        let bytes = wat::parse_str(text).map_err(|error| HostError::Compile {
            path: PathBuf::from("<memory>"),
            message: error.to_string(),
        })?;
        Self::from_bytes(&bytes)
    }

    /// Reads and compiles the module at `path`.
    ///
    /// # Errors
    /// [`HostError::Read`] when the file cannot be read, and as [`Self::from_bytes`].
    pub fn from_file(path: &Path) -> Result<Self, HostError> {
        Self::from_bytes(&read(path)?).map_err(|error| error.in_file(path))
    }

    /// Compiles a module from its binary form.
    ///
    /// # Errors
    /// [`HostError::Compile`] for something that is no WebAssembly module,
    /// [`HostError::UnknownImport`] for a module that needs what Envoy's
    /// network filters do not get from this host, [`HostError::UnknownAbi`] for one
    /// that speaks neither 0.2.0 nor 0.2.1.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HostError> {
        Self::compile(bytes, Metering::Off)
    }

    /// As [`Self::from_file`], with the instructions counted that the filter runs: see
    /// [`crate::Simulator::instructions`]. It runs slower.
    ///
    /// # Errors
    /// As [`Self::from_file`].
    pub fn metered_from_file(path: &Path) -> Result<Self, HostError> {
        Self::compile(&read(path)?, Metering::On).map_err(|error| error.in_file(path))
    }

    fn compile(bytes: &[u8], metering: Metering) -> Result<Self, HostError> {
        let compile = |error: wasmtime::Error| HostError::Compile {
            path: PathBuf::from("<memory>"),
            message: format!("{error:#}"),
        };
        let mut config = Config::new();
        config.consume_fuel(metering == Metering::On);
        let engine = Engine::new(&config).map_err(compile)?;
        let module = Module::from_binary(&engine, bytes).map_err(compile)?;
        let mut linker = Linker::new(&engine);
        let abi = AbiVersion::of(&module)?;
        abi::link(&mut linker, abi).map_err(compile)?;
        let instance = linker.instantiate_pre(&module).map_err(|error| match error
            .downcast_ref::<UnknownImportError>(
        ) {
            Some(unknown) => HostError::UnknownImport {
                module: unknown.module().to_owned(),
                name: unknown.name().to_owned(),
            },
            None => compile(error),
        })?;
        Ok(Self {
            engine,
            metering,
            abi,
            instance: Arc::new(instance),
        })
    }

    /// The ABI that it speaks.
    #[must_use]
    pub fn abi_version(&self) -> AbiVersion {
        self.abi
    }

    pub(crate) fn metering(&self) -> Metering {
        self.metering
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn instance(&self) -> &InstancePre<HostState> {
        &self.instance
    }
}

fn read(path: &Path) -> Result<Vec<u8>, HostError> {
    std::fs::read(path).map_err(|source| HostError::Read {
        path: path.to_owned(),
        source,
    })
}
