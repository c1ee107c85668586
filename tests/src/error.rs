//! What can go wrong while standing the guard up.

use std::{io, path::PathBuf, time::Duration};

/// An error of the harness. Each names what was being done, to what, and where there is one, the
/// mend.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program or file that `make setup` or `make wasm` provides is missing.
    #[error("{what} is not at {path}: run `{mend}`, or set {variable}")]
    Missing {
        /// What is missing, in words.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// The environment variable that overrides the place.
        variable: &'static str,
        /// The command that provides it.
        mend: &'static str,
    },
    /// A file could not be read or written.
    #[error("{path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path}: {reason}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        reason: String,
    },
    /// `envoy.yaml` has no such place any more.
    #[error("envoy.yaml has no {pointer}: the renderer and the file must be changed together")]
    Template {
        /// The JSON pointer, or the name, looked for.
        pointer: String,
    },
    /// A process could not be started.
    #[error("cannot start {name}")]
    Spawn {
        /// The process.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A process ended although it was meant to run.
    #[error("{name} ended ({status}):\n{log}")]
    Ended {
        /// The process.
        name: String,
        /// Its exit status in words.
        status: String,
        /// The part of its log that explains it.
        log: String,
    },
    /// Something did not happen in time.
    #[error("{what} did not happen within {within:?}{hint}")]
    Late {
        /// What was waited for.
        what: String,
        /// For how long.
        within: Duration,
        /// What was seen instead, with a leading separator; may be empty.
        hint: String,
    },
    /// Envoy refused a configuration; the one before, if any, stays in force.
    #[error("Envoy refused the configuration:\n{reason}")]
    Refused {
        /// The filter's and Envoy's own words.
        reason: String,
    },
    /// An address is taken.
    #[error("cannot listen on {address}; end what listens there or choose another with {flag}")]
    Address {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
        /// The flag that chooses it.
        flag: &'static str,
    },
    /// The peer of an SMTP dialogue did not do what was expected.
    #[error("smtp: {doing}")]
    Smtp {
        /// What the client was doing.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A blocklist server or a resolver did not do what was expected.
    #[error("dns: {doing}: {reason}")]
    Dns {
        /// What was being done.
        doing: String,
        /// Why it failed.
        reason: String,
    },
    /// Envoy's administration interface did not answer.
    #[error("GET http://{address}{path}: {reason}")]
    Admin {
        /// Its address.
        address: String,
        /// The path asked for.
        path: String,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// For `map_err` on a file operation.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    /// For `map_err` on a step towards a DNS answer.
    pub(crate) fn dns<E: std::fmt::Display>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |error| Self::Dns {
            doing,
            reason: error.to_string(),
        }
    }

    /// For `map_err` on a step of an SMTP dialogue.
    pub(crate) fn smtp(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Smtp { doing, source }
    }
}
