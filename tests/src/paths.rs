//! Where the parts are: told by the environment, else at their usual place.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::Error;

/// The name of the pinned Envoy's directory in the cache.
const ENVOY_DIRECTORY: &str = "envoy-1.40.0";

/// The repository's root.
#[must_use]
pub fn repository() -> PathBuf {
    let crate_directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_directory
        .parent()
        .unwrap_or(crate_directory)
        .to_path_buf()
}

/// `envoy/envoy.yaml`, from which every configuration is rendered.
#[must_use]
pub fn envoy_yaml() -> PathBuf {
    repository().join("envoy/envoy.yaml")
}

/// `envoy/dnsbl`: configurations of resolvers and zones of example.
#[must_use]
pub fn dnsbl() -> PathBuf {
    repository().join("envoy/dnsbl")
}

/// `envoy/dashboards`: the dashboard and the rules.
#[must_use]
pub fn dashboards() -> PathBuf {
    repository().join("envoy/dashboards")
}

/// `envoy/kubernetes`: the manifests.
#[must_use]
pub fn kubernetes() -> PathBuf {
    repository().join("envoy/kubernetes")
}

/// The built filter: `PORTCULLIS_WASM`, else `target/portcullis.wasm`.
///
/// # Errors
/// [`Error::Missing`] if it has not been built.
pub fn wasm() -> Result<PathBuf, Error> {
    let usual = repository().join("target/portcullis.wasm");
    found("the filter", "PORTCULLIS_WASM", usual, "make wasm")
}

/// The secret that names the certificate's files, from which that of every Envoy is rendered.
#[must_use]
pub fn certificate_yaml() -> PathBuf {
    repository().join("envoy/tls/certificate.yaml")
}

/// The built module: `PORTCULLIS_STARTTLS`, else `target/libportcullis_starttls.so`.
///
/// # Errors
/// [`Error::Missing`] if it has not been built.
pub fn starttls() -> Result<PathBuf, Error> {
    let usual = repository().join("target/libportcullis_starttls.so");
    found("the module", "PORTCULLIS_STARTTLS", usual, "make starttls")
}

/// Envoy's binary: `PORTCULLIS_ENVOY`, else where `make setup` puts it.
///
/// # Errors
/// [`Error::Missing`] if it is not installed.
pub fn envoy() -> Result<PathBuf, Error> {
    let usual = cache().join(ENVOY_DIRECTORY).join("envoy");
    found("Envoy 1.40", "PORTCULLIS_ENVOY", usual, "make setup")
}

/// The simulator's binary: `PORTCULLIS_HOST_SIM`, else beside the running program, else
/// `target/debug/host-sim`.
///
/// # Errors
/// [`Error::Missing`] if it has not been built.
pub fn host_sim() -> Result<PathBuf, Error> {
    let mend = "cargo build -p portcullis-host-sim";
    found("host-sim", "PORTCULLIS_HOST_SIM", built("host-sim"), mend)
}

/// The status page's binary: `PORTCULLIS_STATUS`, else beside the running program, else
/// `target/debug/portcullis-status`.
///
/// # Errors
/// [`Error::Missing`] if it has not been built.
pub fn status() -> Result<PathBuf, Error> {
    let usual = built("portcullis-status");
    found("the status page", "PORTCULLIS_STATUS", usual, "make build")
}

/// A program of this workspace: beside the running one, else in `target/debug`.
fn built(name: &str) -> PathBuf {
    let beside = env::current_exe().ok().and_then(|program| {
        // A test runs from target/debug/deps, the launcher from target/debug.
        program
            .ancestors()
            .skip(1)
            .take(2)
            .map(|place| place.join(name))
            .find(|p| p.is_file())
    });
    beside.unwrap_or_else(|| repository().join("target/debug").join(name))
}

/// A Python with the mail libraries of the tests: `PORTCULLIS_PYTHON`, else where `make setup`
/// puts it.
///
/// # Errors
/// [`Error::Missing`] if it is not installed.
pub fn python() -> Result<PathBuf, Error> {
    let usual = cache().join("python-clients/bin/python");
    found(
        "Python with mail clients",
        "PORTCULLIS_PYTHON",
        usual,
        "make setup",
    )
}

/// What checks manifests: `PORTCULLIS_KUBERNETES`, else where `make setup` puts it. In it are
/// `kubectl`, a virtual environment `venv`, and the schemas of custom resources, `crd-schemas`.
///
/// # Errors
/// [`Error::Missing`] if it is not installed.
pub fn kubernetes_tools() -> Result<PathBuf, Error> {
    let what = "what checks Kubernetes manifests";
    installed(what, "PORTCULLIS_KUBERNETES", "kubernetes")
}

/// What checks dashboards: `PORTCULLIS_DASHBOARDS`, else where `make setup` puts it.
///
/// # Errors
/// [`Error::Missing`] if it is not installed.
pub fn dashboard_tools() -> Result<PathBuf, Error> {
    let what = "what checks dashboards";
    installed(what, "PORTCULLIS_DASHBOARDS", "dashboards")
}

/// A directory of the cache that one of the steps of `make setup` has finished.
fn installed(
    what: &'static str,
    variable: &'static str,
    directory: &str,
) -> Result<PathBuf, Error> {
    let home = env::var_os(variable).map_or_else(|| cache().join(directory), PathBuf::from);
    if home.join("installed").is_file() {
        return std::path::absolute(&home).map_err(Error::file(home));
    }
    Err(Error::Missing {
        what,
        path: home,
        variable,
        mend: "make setup",
    })
}

/// Exim's binary: `PORTCULLIS_EXIM`, else where `make setup` puts it.
///
/// # Errors
/// [`Error::Missing`] if it is not there.
pub fn exim() -> Result<PathBuf, Error> {
    let usual = cache().join("exim/usr/sbin/exim4");
    found("Exim", "PORTCULLIS_EXIM", usual, "make setup")
}

/// A program of a Debian package, on the path or in the directories of system programs.
///
/// # Errors
/// [`Error::Missing`] if it is not installed.
pub fn on_path(program: &'static str) -> Result<PathBuf, Error> {
    let path = env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/lib/postfix/sbin"].map(PathBuf::from))
        .map(|place| place.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| Error::Missing {
            what: program,
            path: PathBuf::from(path),
            variable: "PATH",
            mend: "make setup",
        })
}

fn found(
    what: &'static str,
    variable: &'static str,
    usual: PathBuf,
    mend: &'static str,
) -> Result<PathBuf, Error> {
    let path = env::var_os(variable).map_or(usual, PathBuf::from);
    if !path.is_file() {
        return Err(Error::Missing {
            what,
            path,
            variable,
            mend,
        });
    }
    // A path relative to the caller must stay right when Envoy runs elsewhere. Links stay: the
    // python of a virtual environment is one.
    std::path::absolute(&path).map_err(Error::file(path))
}

/// Where `make setup` installs: `PORTCULLIS_CACHE`, else `portcullis` in the user's cache.
fn cache() -> PathBuf {
    let told = |variable| env::var_os(variable).filter(|value| !value.is_empty());
    let below = |variable, path: &str| Some(PathBuf::from(told(variable)?).join(path));
    below("PORTCULLIS_CACHE", "")
        .or_else(|| below("XDG_CACHE_HOME", "portcullis"))
        .or_else(|| below("HOME", ".cache/portcullis"))
        .unwrap_or_default()
}
