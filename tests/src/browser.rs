//! A real browser without a window, spoken to by the Chrome DevTools Protocol over two pipes.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::Command,
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::Process;

/// How long the browser may take for anything; it starts slowly on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Nothing of it shall reach the network, or ask for a first-run page.
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    "about:blank",
];

/// A running Chromium with one page. Dropping it ends it.
pub struct Browser {
    // Ended before its directory goes.
    _process: Process,
    to: File,
    from: Receiver<Value>,
    _directory: TempDir,
    session: String,
    calls: u64,
    /// What the page did: requests, words on its console, errors.
    events: Vec<Value>,
}

/// What a page did while it was shown.
#[derive(Debug, Default)]
pub struct Deeds {
    /// The addresses it asked for.
    pub requests: Vec<String>,
    /// What the console says.
    pub console: Vec<String>,
}

impl Browser {
    /// Starts Debian's `chromium`.
    ///
    /// # Errors
    /// When it is not installed (`make setup` does it), or does not answer.
    pub fn start() -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("portcullis-browser-")
            .tempdir()?;
        let [to, from] = ["to", "from"].map(|name| directory.path().join(name));
        let made = Command::new("mkfifo").arg(&to).arg(&from).status()?;
        ensure!(made.success(), "mkfifo: {made}");
        // Both ends of a pipe that is opened so are there at once.
        let [to_browser, from_browser] =
            [&to, &from].map(|pipe| File::options().read(true).write(true).open(pipe));
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(r#"to=$1 from=$2; shift 2; exec chromium "$@" 3<"$to" 4>"$from""#)
            .args(["sh".as_ref(), to.as_os_str(), from.as_os_str()])
            .arg(format!(
                "--user-data-dir={}",
                directory.path().join("profile").display()
            ))
            .args(FLAGS)
            .env("HOME", directory.path());
        let process = Process::start("chromium", command, &directory.path().join("log"))
            .context("is the Debian package chromium installed? `make setup` does it")?;
        let mut browser = Self {
            _process: process,
            to: to_browser?,
            from: messages(from_browser?),
            _directory: directory,
            session: String::new(),
            calls: 0,
            events: Vec::new(),
        };
        browser.attach()?;
        Ok(browser)
    }

    fn attach(&mut self) -> Result<()> {
        let page = self.call("Target.createTarget", json!({ "url": "about:blank" }))?;
        let attach = json!({ "targetId": at(&page, "/targetId"), "flatten": true });
        let attached = self.call("Target.attachToTarget", attach)?;
        let session = at(&attached, "/sessionId").as_str();
        self.session = session.context("no session")?.to_owned();
        for domain in ["Page", "Network", "Log", "Runtime"] {
            self.call(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(())
    }

    /// Shows a file in a window of this size, in the light or the dark scheme.
    ///
    /// # Errors
    /// When the browser does not answer in time.
    pub fn show(&mut self, file: &Path, size: (u32, u32), scheme: &str) -> Result<()> {
        let url = format!("file://{}", file.canonicalize()?.display());
        self.visit(&url, size, &[("prefers-color-scheme", scheme)])
    }

    /// Shows a page in a window of this size, to a reader with these preferences.
    ///
    /// # Errors
    /// When the browser does not answer in time.
    pub fn visit(
        &mut self,
        url: &str,
        (width, height): (u32, u32),
        preferences: &[(&str, &str)],
    ) -> Result<()> {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.call("Emulation.setDeviceMetricsOverride", size)?;
        let features: Vec<Value> = preferences
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        )?;
        self.events.clear();
        self.call("Page.navigate", json!({ "url": url }))?;
        self.until(|event| at(event, "/method") == "Page.loadEventFired")
    }

    /// The value of an expression in the page.
    ///
    /// # Errors
    /// When it fails there, or the browser does not answer in time.
    pub fn value(&mut self, expression: &str) -> Result<Value> {
        let evaluate = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", evaluate)?;
        let failure = at(&answer, "/exceptionDetails");
        ensure!(failure.is_null(), "{expression}: {failure}");
        Ok(at(&answer, "/result/value").clone())
    }

    /// What the page has done since it was shown.
    #[must_use]
    pub fn deeds(&self) -> Deeds {
        let mut deeds = Deeds::default();
        for event in &self.events {
            let parameters = at(event, "/params");
            match at(event, "/method").as_str() {
                Some("Network.requestWillBeSent") => {
                    let url = at(parameters, "/request/url").as_str();
                    deeds.requests.extend(url.map(str::to_owned));
                }
                Some("Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded") => {
                    deeds.console.push(parameters.to_string())
                }
                _ => {}
            }
        }
        deeds
    }

    fn call(&mut self, method: &str, parameters: Value) -> Result<Value> {
        self.calls += 1;
        let id = self.calls;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if let Some(message) = message.as_object_mut()
            && !self.session.is_empty()
        {
            message.insert("sessionId".into(), self.session.clone().into());
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        self.to.write_all(&bytes)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.next(deadline).with_context(|| method.to_owned())?;
            if *at(&answer, "/id") != id {
                self.events.push(answer);
            } else if at(&answer, "/error").is_null() {
                return Ok(at(&answer, "/result").clone());
            } else {
                bail!("{method}: {}", at(&answer, "/error"));
            }
        }
    }

    fn until(&mut self, happened: impl Fn(&Value) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.events.iter().any(&happened) {
            let event = self.next(deadline)?;
            self.events.push(event);
        }
        Ok(())
    }

    fn next(&mut self, deadline: Instant) -> Result<Value> {
        let left = deadline.saturating_duration_since(Instant::now());
        let message = self.from.recv_timeout(left);
        message.with_context(|| format!("chromium said nothing within {PATIENCE:?}"))
    }
}

/// What stands at this place of a message; null where there is nothing.
fn at<'a>(message: &'a Value, pointer: &str) -> &'a Value {
    message.pointer(pointer).unwrap_or(&Value::Null)
}

/// The messages that come out of a pipe, each ended by a zero byte. The thread that reads them
/// ends with the receiver.
fn messages(pipe: File) -> Receiver<Value> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for message in BufReader::new(pipe).split(0) {
            let message = message.ok();
            let message = message.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            if message.is_none_or(|message| sender.send(message).is_err()) {
                return;
            }
        }
    });
    receiver
}

impl Drop for Browser {
    fn drop(&mut self) {
        // What is no message ends the thread that reads them; without it the thread ends with us.
        let _ = File::options()
            .write(true)
            .open(self._directory.path().join("from"))
            .and_then(|mut pipe| pipe.write_all(b"end\0"));
    }
}
