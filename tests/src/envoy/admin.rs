//! Envoy's administration interface, as far as it is needed here.

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;

use crate::Error;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client of the administration interface.
#[derive(Debug, Clone)]
pub struct Admin {
    address: SocketAddr,
    agent: ureq::Agent,
}

/// How often Envoy took over, or refused, what the listener's file held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Updates {
    pub(super) accepted: u64,
    pub(super) refused: u64,
}

impl Admin {
    /// A client of the interface that listens here.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .proxy(None);
        Self {
            address,
            agent: config.build().into(),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Fetches a page as text.
    ///
    /// # Errors
    /// [`Error::Admin`] if there is no answer or it is not 200.
    pub fn get(&self, path: &str) -> Result<String, Error> {
        let answer = self
            .agent
            .get(format!("http://{}{path}", self.address))
            .call();
        let text = answer.and_then(|mut answer| answer.body_mut().read_to_string());
        text.map_err(|error| self.error(path, error.to_string()))
    }

    /// The value of one counter or gauge; a name that Envoy does not have yet counts 0.
    ///
    /// # Errors
    /// As [`Admin::get`].
    pub fn stat(&self, name: &str) -> Result<u64, Error> {
        Ok(self.find_stat(name)?.unwrap_or_default())
    }

    /// The value of one of the filter's counters, such as `siblings_cut` or `closed;rule=desync`.
    ///
    /// # Errors
    /// As [`Admin::get`], and if there is no such counter: the filter has all of its own from the
    /// beginning.
    pub fn count(&self, name: &str) -> Result<u64, Error> {
        let (family, tag) = name.split_at(name.find(';').unwrap_or(name.len()));
        let name = format!("wasmcustom.portcullis_{family}_total{tag}");
        let value = self.find_stat(&name)?;
        value.ok_or_else(|| self.error(&name, "there is no such counter".to_owned()))
    }

    fn find_stat(&self, name: &str) -> Result<Option<u64>, Error> {
        let page = self.get(&format!("/stats?filter=^{name}$"))?;
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let value = value.map(|value| value.trim().parse());
        value
            .transpose()
            .map_err(|_| self.error(name, page.clone()))
    }

    /// Whether Envoy serves.
    pub(crate) fn ready(&self) -> bool {
        self.get("/ready").is_ok()
    }

    /// The address of the only listener with a port, once it listens.
    ///
    /// # Errors
    /// As [`Admin::get`].
    pub(super) fn listener_address(&self) -> Result<Option<SocketAddr>, Error> {
        let page = self.get("/listeners")?;
        // One line a listener: `smtp::127.0.0.1:2525`, or with no address if it is internal.
        Ok(page
            .lines()
            .find_map(|line| line.split_once("::")?.1.trim().parse().ok()))
    }

    /// How many updates of the listener there have been.
    ///
    /// # Errors
    /// As [`Admin::get`].
    pub(super) fn updates(&self) -> Result<Updates, Error> {
        Ok(Updates {
            accepted: self.stat("listener_manager.lds.update_success")?,
            refused: self.stat("listener_manager.lds.update_rejected")?,
        })
    }

    /// Why the last update of the listener was refused, in Envoy's words.
    ///
    /// # Errors
    /// As [`Admin::get`], and if the dump is no JSON.
    pub(super) fn why_refused(&self) -> Result<String, Error> {
        let path = "/config_dump?resource=dynamic_listeners";
        let dump: Value = serde_json::from_str(&self.get(path)?)
            .map_err(|error| self.error(path, error.to_string()))?;
        let listeners = dump
            .get("configs")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let mut details = listeners.filter_map(|one| one.pointer("/error_state/details")?.as_str());
        Ok(details.next().unwrap_or("no reason given").to_owned())
    }

    fn error(&self, path: &str, reason: String) -> Error {
        Error::Admin {
            address: self.address.to_string(),
            path: path.into(),
            reason,
        }
    }
}
