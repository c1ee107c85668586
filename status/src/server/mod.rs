//! The page and what it reads, by HTTP.

mod answer;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::Shared;

/// Connections at once; further ones wait to be accepted.
const CONNECTIONS: usize = 64;
/// How long a request's head may take, and a connection be idle.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a connection lasts at most, whatever it does.
const LIFE: Duration = Duration::from_secs(600);

/// Serves for ever.
pub(crate) async fn serve(listener: &TcpListener, board: &Shared) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files, or a client that is gone already.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let board = Arc::clone(board);
        tokio::spawn(async move {
            let _late = tokio::time::timeout(LIFE, converse(stream, &board)).await;
            drop(place);
        });
    }
}

/// Answers one client until it is gone; what it did wrong is its own concern.
async fn converse(stream: TcpStream, board: &Shared) {
    let service = service_fn(|request| {
        let answer = answer::to(&request, board);
        async { Ok::<_, Infallible>(answer) }
    });
    let _gone = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
