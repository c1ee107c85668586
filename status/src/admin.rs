//! Looking at Envoy's metrics, again and again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::board::locked;
use crate::metrics::{NoGuard, Reading};
use crate::options::AdminAddress;
use crate::{Options, Shared};

/// Only what the page shows: `^(wasmcustom\.portcullis_|server\.uptime$)`.
const PAGE: &str = "/stats/prometheus?filter=%5E(wasmcustom%5C.portcullis_%7Cserver%5C.uptime%24)";
/// Between looks: as often as the page asks.
const EVERY: Duration = Duration::from_secs(3);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an answer may be. The guard's metrics have some ten thousand octets; a front that
/// knows no filter sends all of Envoy's.
const LONGEST: usize = 16 << 20;

/// Why there is no reading.
#[derive(Debug, Error)]
enum Unread {
    #[error("nobody answers there: {0}")]
    Connect(#[from] std::io::Error),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
    #[error("the answer broke off: {0}")]
    Http(#[from] hyper::Error),
    #[error("the answer is no text of at most {LONGEST} octets: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("it answered {0}")]
    Status(hyper::StatusCode),
    #[error(transparent)]
    NoGuard(#[from] NoGuard),
}

/// Looks for ever, and puts what it sees on the board.
pub(crate) async fn watch(options: &Options, board: &Shared) {
    let began = Instant::now();
    let mut turns = interval(EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let read = match timeout(PATIENCE, fetch(&options.admin)).await {
            Ok(answer) => answer.and_then(|text| {
                let at_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                Ok(Reading::parse(&text, at_ms)?)
            }),
            Err(_) => Err(Unread::Late),
        };
        let mut board = locked(board);
        match read {
            Ok(reading) => board.read(reading),
            Err(error) => board.unread(error.to_string()),
        }
    }
}

async fn fetch(address: &AdminAddress) -> Result<String, Unread> {
    let stream = TcpStream::connect(address.authority()).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(PAGE)
        .header(HOST, address.authority())
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|error| Unread::Body(error.into()))?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        if !answer.status().is_success() {
            return Err(Unread::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), LONGEST).collect().await;
        let body = body.map_err(Unread::Body)?.to_bytes();
        String::from_utf8(body.into()).map_err(|error| Unread::Body(error.into()))
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // It ends when all has been read, which the other side still has to take out.
        ended = connection => {
            ended?;
            exchange.await
        }
    }
}
