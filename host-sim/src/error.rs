//! Why a filter could not be loaded or started.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a filter could not be loaded or started.
#[derive(Debug, Error)]
pub enum HostError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}; build the filter first, or give its path", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are no module this host can compile.
    #[error("{path} is no usable WebAssembly module: {message}", path = path.display())]
    Compile {
        /// The file, or `<memory>`.
        path: PathBuf,
        /// What the compiler said.
        message: String,
    },
    /// The module imports a function this host does not have.
    #[error(
        "the module imports `{module}.{name}`, which this host does not provide; \
         only the `env.proxy_*` calls of proxy-wasm ABI 0.2.1 are there"
    )]
    UnknownImport {
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
    },
    /// The module speaks another version of the ABI.
    #[error("the module speaks proxy-wasm ABI {version}; this host knows 0.2.0 and 0.2.1")]
    UnknownAbi {
        /// The version that it tells.
        version: String,
    },
    /// The module lacks something every filter must export.
    #[error("the module does not export `{name}`; every proxy-wasm filter must")]
    MissingExport {
        /// The export.
        name: &'static str,
    },
    /// `proxy_on_vm_start` or `proxy_on_configure` returned false.
    #[error("the filter refused its configuration in `{callback}`: {log}")]
    ConfigurationRefused {
        /// The callback that returned false.
        callback: &'static str,
        /// What the filter logged meanwhile, one line per log line.
        log: String,
    },
    /// The filter trapped before it could serve.
    #[error("the filter trapped in `{callback}` while starting: {message}")]
    StartTrapped {
        /// The callback.
        callback: &'static str,
        /// The runtime's message, and what the filter logged.
        message: String,
    },
}

impl HostError {
    pub(crate) fn in_file(self, file: &Path) -> Self {
        match self {
            Self::Compile { message, .. } => Self::Compile {
                path: file.to_owned(),
                message,
            },
            other => other,
        }
    }
}
