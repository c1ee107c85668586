//! The server behind the clusters that filters call: HTTP/2 in cleartext.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use portcullis_host_sim::{HttpAnswer, HttpResponse};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::grpc;
use crate::services;

/// A running server; dropping it ends it.
pub(super) struct Upstream {
    address: SocketAddr,
    breaking: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    pub(super) fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let hangs_up = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let breaking = hangs_up.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(&listener) => {}
                    () = hang_up(&hangs_up) => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Self {
            address,
            breaking,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where everybody is hung up on who says something.
    pub(super) fn breaking(&self) -> SocketAddr {
        self.breaking
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn hang_up(listener: &TcpListener) {
    while let Ok((mut socket, _)) = listener.accept().await {
        tokio::spawn(async move { socket.read(&mut [0; 4096]).await });
    }
}

async fn serve(listener: &TcpListener) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(connection(socket));
    }
}

async fn connection(socket: TcpStream) {
    let Ok(mut connection) = h2::server::handshake(socket).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        // What goes wrong here is that the filter or its Envoy has left.
        tokio::spawn(async move { exchange(request, respond).await });
    }
}

async fn exchange(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<()> {
    let path = request.uri().path().to_owned();
    if let Some(method) = path.strip_prefix("/s/") {
        return grpc::exchange(method, request.into_body(), respond).await;
    }
    let mut body = request.into_body();
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        bytes.extend(chunk);
    }
    match services::http(&path, &bytes) {
        HttpAnswer::Truncated { .. } => {
            let mut stream = respond.send_response(Response::new(()), false)?;
            stream.send_data(Bytes::from_static(b"cut sh"), false)?;
            // Once it has left: what is reset before is not sent.
            tokio::time::sleep(Duration::from_millis(50)).await;
            stream.send_reset(Reason::INTERNAL_ERROR);
            Ok(())
        }
        HttpAnswer::Respond { response, after } => {
            tokio::time::sleep(after).await;
            send(&mut respond, response)
        }
        HttpAnswer::ResetStream => {
            respond.send_reset(Reason::INTERNAL_ERROR);
            Ok(())
        }
        _ => std::future::pending().await,
    }
}

fn send(respond: &mut SendResponse<Bytes>, response: HttpResponse) -> Result<()> {
    let mut head = Response::builder().status(response.status).body(())?;
    *head.headers_mut() = headers(&response.headers)?;
    let (body, trailers) = (response.body, headers(&response.trailers)?);
    let mut stream = respond.send_response(head, body.is_empty() && trailers.is_empty())?;
    if !body.is_empty() {
        stream.send_data(body.into(), trailers.is_empty())?;
    }
    if !trailers.is_empty() {
        stream.send_trailers(trailers)?;
    }
    Ok(())
}

pub(super) fn headers(pairs: &[(String, String)]) -> Result<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, value) in pairs.iter().filter(|(name, _)| !name.starts_with(':')) {
        let name = HeaderName::try_from(name).with_context(|| name.clone())?;
        map.append(name, HeaderValue::try_from(value)?);
    }
    Ok(map)
}
