//! How a filter is configured.

use std::time::Duration;

use crate::observe::LogLevel;

/// How the filter is configured: what Envoy's `PluginConfig` says of it.
#[derive(Clone, Debug)]
pub(crate) struct Plugin {
    pub(crate) configuration: Vec<u8>,
    pub(crate) vm_configuration: Vec<u8>,
    pub(crate) name: String,
    pub(crate) root_id: String,
    pub(crate) vm_id: String,
    pub(crate) node_id: String,
    pub(crate) node_cluster: String,
    /// The name of the server's cluster.
    pub(crate) cluster: String,
    pub(crate) log_level: LogLevel,
    /// Bytes of a paused client that are kept before no more are read.
    pub(crate) read_limit: usize,
    pub(crate) failure_policy: FailurePolicy,
}

/// What becomes of new connections once the filter's VM has trapped: Envoy's
/// `failure_policy`. The connection that trapped ends under each of them, and the
/// VM's others end at their next data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailurePolicy {
    /// `FAIL_CLOSED`, Envoy's default: each is closed without a word.
    Closed,
    /// `FAIL_OPEN`: each passes without the filter.
    Open,
    /// `FAIL_RELOAD`: the next one gets a new VM.
    Reload {
        /// `reload_config.backoff.base_interval`: so long after the VM was loaded, or
        /// was last tried to be, none is loaded and new connections are closed.
        /// Under a seed it takes up to half as long again, as in Envoy.
        base_interval: Duration,
    },
}

impl Default for Plugin {
    fn default() -> Self {
        Self {
            configuration: Vec::new(),
            vm_configuration: Vec::new(),
            name: "filter".to_owned(),
            root_id: String::new(),
            vm_id: "host-sim".to_owned(),
            node_id: String::new(),
            node_cluster: String::new(),
            cluster: "server".to_owned(),
            log_level: LogLevel::Info,
            read_limit: 1024 * 1024,
            failure_policy: FailurePolicy::Reload {
                base_interval: Duration::ZERO,
            },
        }
    }
}
