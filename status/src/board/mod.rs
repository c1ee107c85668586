//! All that the page shows, put together.

mod listings;
mod view;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Options;
use crate::clock::now_ms;
use crate::log::Record;
use crate::metrics::{History, Reading};

use listings::Listings;
pub(crate) use view::Wanted;

/// Verdicts kept, and as many again of those that a rule brought about: in a crowd of good mail
/// they would be gone at once.
const VERDICTS: usize = 25;

/// What is known.
#[derive(Debug)]
pub(crate) struct Board {
    admin: String,
    log_path: Option<String>,
    history: History,
    envoy: Source,
    log: Source,
    /// Lines that could not be read.
    faulty: u64,
    listings: Listings,
    verdicts: VecDeque<Record>,
    acted: VecDeque<Record>,
}

/// Where something is read, and how that goes.
#[derive(Debug, Default)]
struct Source {
    /// When it last could be read, in milliseconds since the Unix epoch.
    read_ms: Option<u64>,
    /// Why it cannot be read, and since when.
    fault: Option<(String, u64)>,
}

impl Source {
    fn read(&mut self) {
        self.read_ms = Some(now_ms());
        self.fault = None;
    }

    fn unread(&mut self, why: String) {
        let since = self.fault.take().map_or_else(now_ms, |(_, since)| since);
        self.fault = Some((why, since));
    }
}

/// The board, whatever befell others that held it.
pub(crate) fn locked(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    pub(crate) fn new(options: &Options) -> Self {
        let log_path = options.access_log.as_ref();
        Self {
            admin: format!("http://{}", options.admin.authority()),
            log_path: log_path.map(|path| path.display().to_string()),
            history: History::default(),
            envoy: Source::default(),
            log: Source::default(),
            faulty: 0,
            listings: Listings::default(),
            verdicts: VecDeque::new(),
            acted: VecDeque::new(),
        }
    }

    /// Envoy answered.
    pub(crate) fn read(&mut self, reading: Reading) {
        self.envoy.read();
        if reading.remembers_only_its_own() {
            let began = now_ms().saturating_sub(reading.uptime_s * 1000);
            self.listings.begin(began);
        }
        self.history.push(reading);
    }

    /// It did not.
    pub(crate) fn unread(&mut self, why: String) {
        self.envoy.unread(why);
    }

    /// The log has been read to its end.
    pub(crate) fn log_read(&mut self) {
        self.log.read();
    }

    /// It cannot be read.
    pub(crate) fn log_unread(&mut self, why: String) {
        self.log.unread(why);
    }

    /// Lines of the log were too long.
    pub(crate) fn log_dropped(&mut self, lines: u64) {
        self.faulty += lines;
    }

    /// A line of the log.
    pub(crate) fn note(&mut self, line: Result<Option<Record>, serde_json::Error>) {
        let record = match line {
            Ok(Some(record)) => record,
            Ok(None) => return,
            Err(_) => {
                self.faulty += 1;
                return;
            }
        };
        self.listings.note(&record, now_ms() / 1000);
        if record.met_a_rule() {
            keep(&mut self.acted, record.clone());
        }
        keep(&mut self.verdicts, record);
    }
}

/// The newest first.
fn keep(records: &mut VecDeque<Record>, record: Record) {
    records.truncate(VERDICTS - 1);
    records.push_front(record);
}
