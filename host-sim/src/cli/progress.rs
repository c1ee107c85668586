//! Progress of long work: a bar, on a terminal only.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often the bar is looked after.
const INTERVAL: Duration = Duration::from_millis(200);

/// Does some work while a bar on stderr follows `done`, which counts up to `total`.
pub(super) fn watched<R>(what: &str, total: u64, done: &AtomicU64, work: impl FnOnce() -> R) -> R {
    if !std::io::stderr().is_terminal() {
        return work();
    }
    let bar = ProgressBar::new(total)
        .with_style(style())
        .with_message(what.to_owned());
    let over = AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                bar.set_position(done.load(Ordering::Relaxed));
                std::thread::park_timeout(INTERVAL);
            }
        });
        let result = work();
        over.store(true, Ordering::Relaxed);
        watcher.thread().unpark();
        result
    });
    bar.finish_and_clear();
    result
}

fn style() -> ProgressStyle {
    let template = "{bar:30} {human_pos}/{human_len} {msg}, {eta} left";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
