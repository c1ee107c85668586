//! What the access log says: who is listed, and the last verdicts.

mod record;
mod tail;

use std::path::Path;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::board::locked;
use crate::{Options, Shared};

pub(crate) use record::{Listed, Record};
use tail::{Tail, Taken};

/// How often the log is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Follows the log for ever, and puts what it says on the board.
pub(crate) async fn follow(options: &Options, board: &Shared) {
    let Some(path) = &options.access_log else {
        return std::future::pending().await;
    };
    let mut tail = Tail::new(path);
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        take_all(&mut tail, board, path).await;
    }
}

/// Takes what there is, in pieces between which the page is served.
async fn take_all(tail: &mut Tail, board: &Shared, path: &Path) {
    while let Reading::Goes = take_piece(tail, board, path) {
        tokio::task::yield_now().await;
    }
}

/// Whether there may be more.
enum Reading {
    Goes,
    Ends,
}

fn take_piece(tail: &mut Tail, board: &Shared, path: &Path) -> Reading {
    let taken = tail.take();
    let mut board = locked(board);
    match taken {
        Ok(Taken::Lines { lines, dropped }) => {
            for line in lines.split(|octet| *octet == b'\n') {
                if !line.is_empty() {
                    board.note(Record::parse(line));
                }
            }
            board.log_dropped(dropped);
            return Reading::Goes;
        }
        Ok(Taken::Nothing) => board.log_read(),
        Err(error) => board.log_unread(format!("{}: {error}", path.display())),
    }
    Reading::Ends
}
