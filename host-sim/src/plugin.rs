//! How a filter is configured.

use crate::observe::LogLevel;

/// How the filter is configured: what Envoy's `PluginConfig` says of it.
#[derive(Clone, Debug)]
pub(crate) struct Plugin {
    pub(crate) configuration: Vec<u8>,
    pub(crate) vm_configuration: Vec<u8>,
    pub(crate) name: String,
    pub(crate) root_id: String,
    pub(crate) vm_id: String,
    pub(crate) log_level: LogLevel,
    /// Bytes of a paused client that are kept before no more are read.
    pub(crate) read_limit: usize,
}

impl Default for Plugin {
    fn default() -> Self {
        Self {
            configuration: Vec::new(),
            vm_configuration: Vec::new(),
            name: "filter".to_owned(),
            root_id: String::new(),
            vm_id: "host-sim".to_owned(),
            log_level: LogLevel::Info,
            read_limit: 1024 * 1024,
        }
    }
}
