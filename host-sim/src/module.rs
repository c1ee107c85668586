//! A filter to run, compiled.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::{Config, Engine, InstancePre, Linker, Module, UnknownImportError};

use crate::abi;
use crate::error::HostError;
use crate::host::HostState;

/// A compiled filter. Cloning is cheap, so compile once and run often.
#[derive(Clone)]
pub struct FilterModule {
    engine: Engine,
    instance: Arc<InstancePre<HostState>>,
}

impl FilterModule {
    /// Reads and compiles the module at `path`.
    ///
    /// # Errors
    /// [`HostError::Read`] when the file cannot be read, and as [`Self::from_bytes`].
    pub fn from_file(path: &Path) -> Result<Self, HostError> {
        let bytes = std::fs::read(path).map_err(|source| HostError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::from_bytes(&bytes).map_err(|error| error.in_file(path))
    }

    /// Compiles a module from its binary form.
    ///
    /// # Errors
    /// [`HostError::Compile`] for something that is no WebAssembly module,
    /// [`HostError::UnknownImport`] for a module that needs what Envoy's
    /// network filters do not get from this host.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HostError> {
        let compile = |error: wasmtime::Error| HostError::Compile {
            path: PathBuf::from("<memory>"),
            message: format!("{error:#}"),
        };
        let engine = Engine::new(&Config::new()).map_err(compile)?;
        let module = Module::from_binary(&engine, bytes).map_err(compile)?;
        let mut linker = Linker::new(&engine);
        abi::link(&mut linker).map_err(compile)?;
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
            instance: Arc::new(instance),
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn instance(&self) -> &InstancePre<HostState> {
        &self.instance
    }
}
