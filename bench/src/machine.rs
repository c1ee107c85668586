//! Where and when a run was.

use std::{fs, thread, time::SystemTime};

use serde::Serialize;

/// A machine at a time.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The moment, UTC.
    pub date: String,
    /// What the processor calls itself.
    pub processor: String,
    /// How many cores there are.
    pub cores: usize,
    /// Memory, MiB.
    pub memory: u64,
    /// The kernel's release.
    pub kernel: String,
    /// How many processes wanted to run in the last minute, when the run began: what else was going
    /// on.
    pub load: f64,
}

impl Machine {
    /// This one, now. What it does not tell is left empty.
    #[must_use]
    pub fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':'));
            value.map_or(String::new(), |(_, value)| value.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kib: u64 = memory
            .split(' ')
            .next()
            .and_then(|it| it.parse().ok())
            .unwrap_or_default();
        let load = read("/proc/loadavg");
        Self {
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            processor: field(&read("/proc/cpuinfo"), "model name"),
            cores: thread::available_parallelism().map_or(0, usize::from),
            memory: kib / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: load
                .split(' ')
                .next()
                .and_then(|it| it.parse().ok())
                .unwrap_or_default(),
        }
    }
}
