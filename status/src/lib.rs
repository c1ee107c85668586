//! A page that shows what a running guard does, for those who have no dashboards.
//!
//! It stands beside the guard and changes nothing there. Sessions, rates and rules come
//! from Envoy's `/stats/prometheus` (`metrics`); who is listed, and the last verdicts,
//! stand in no metric, so they come from the records in the access log (`log`). Both end
//! up on one `board`, which a small `server` shows to browsers.
//!
//! Everything is bounded: the octets of an answer and of a line, the clients listed, the
//! verdicts and readings kept, the connections served at once.

mod admin;
mod board;
mod clock;
mod log;
mod metrics;
mod options;
mod server;

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use tokio::net::TcpListener;

pub use options::Options;

use board::Board;

/// What all parts share. It is held for no longer than it takes to read or write it.
type Shared = Arc<Mutex<Board>>;

/// Serves the page until the program is ended.
///
/// # Errors
/// When the address cannot be listened on.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(options))
}

async fn serve(options: &Options) -> anyhow::Result<()> {
    let listener = TcpListener::bind(options.listen).await.with_context(|| {
        let listen = options.listen;
        format!("cannot listen on {listen}; choose another --listen (port 0 picks a free one)")
    })?;
    let address = listener.local_addr()?;
    announce(&format!("listening on http://{address}"));
    if !address.ip().is_loopback() {
        eprintln!(
            "portcullis-status: {address} can be reached from elsewhere, and the page asks for no \
             password: it shows your clients' addresses to whoever comes"
        );
    }
    let board = Arc::new(Mutex::new(Board::new(options)));
    tokio::select! {
        () = admin::watch(options, &board) => {}
        () = log::follow(options, &board) => {}
        () = server::serve(&listener, &board) => {}
    }
    Ok(())
}

/// The one line on stdout by which a caller knows where the page is.
fn announce(line: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever closed our stdout does not want to know.
    let _closed = writeln!(out, "{line}").and_then(|()| out.flush());
}
