//! Envoy's log, case by case.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Result;

/// Thread, level, text.
pub(super) const FORMAT: &str = "%t|%l|%v";

/// What the worker's filters have logged so far.
pub(super) struct Log {
    file: File,
    /// The thread of Envoy's that has a VM of its own, which serves nobody.
    main_thread: String,
    rest: Vec<u8>,
    lines: BTreeMap<String, Vec<String>>,
}

impl Log {
    pub(super) fn open(path: &Path, process: u32) -> Result<Self> {
        Ok(Self {
            file: File::open(path)?,
            main_thread: process.to_string(),
            rest: Vec::new(),
            lines: BTreeMap::new(),
        })
    }

    /// The lines of this case.
    pub(super) fn of(&mut self, case: &str) -> Result<&[String]> {
        self.file.read_to_end(&mut self.rest)?;
        let whole = self
            .rest
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let new: Vec<u8> = self.rest.drain(..whole).collect();
        for line in String::from_utf8_lossy(&new).lines() {
            self.add(line);
        }
        Ok(self.lines.get(case).map_or(&[], Vec::as_slice))
    }

    /// A filter's line is `wasm log`, then names of which the last is the `vm_id`.
    fn add(&mut self, line: &str) -> Option<()> {
        let (thread, line) = line.split_once('|')?;
        let (level, line) = line.split_once('|')?;
        if thread == self.main_thread {
            return None;
        }
        let (names, text) = line.strip_prefix("wasm log")?.split_once(": ")?;
        let case = names.rsplit(' ').next()?;
        let text = match level {
            "info" => text.to_owned(),
            level => format!(
                "{}: {text}",
                if level == "warning" { "warn" } else { level }
            ),
        };
        self.lines.entry(case.to_owned()).or_default().push(text);
        Some(())
    }
}
