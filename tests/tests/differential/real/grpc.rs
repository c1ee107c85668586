//! The gRPC side of the server behind the clusters.

use std::time::Duration;

use anyhow::Result;
use bytes::{Buf, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Response, header};
use portcullis_host_sim::{GrpcEvent, GrpcHeard, GrpcSaid};

use super::upstream::headers;
use crate::services;

/// Plays one call of this method.
pub(super) async fn exchange(
    method: &str,
    mut body: RecvStream,
    respond: SendResponse<Bytes>,
) -> Result<()> {
    let mut answer = Answer {
        respond,
        stream: None,
    };
    answer
        .say(services::grpc(method, GrpcHeard::Opened))
        .await?;
    let mut read = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        read.extend_from_slice(&chunk);
        while let Some(message) = message(&mut read) {
            answer
                .say(services::grpc(method, GrpcHeard::Message(&message)))
                .await?;
        }
    }
    answer.say(services::grpc(method, GrpcHeard::Ended)).await?;
    // What ends here ends the call; a method that says nothing more leaves it open.
    std::future::pending().await
}

/// A message is a flag, a length of four bytes, and so many bytes.
fn message(read: &mut BytesMut) -> Option<Bytes> {
    let length = read.get(1..5)?.try_into().ok().map(u32::from_be_bytes)?;
    let whole = 5 + usize::try_from(length).ok()?;
    if read.len() < whole {
        return None;
    }
    let mut message = read.split_to(whole).freeze();
    message.advance(5);
    Some(message)
}

struct Answer {
    respond: SendResponse<Bytes>,
    /// Once the headers are sent.
    stream: Option<SendStream<Bytes>>,
}

impl Answer {
    async fn say(&mut self, said: GrpcSaid) -> Result<()> {
        for event in said.events {
            self.event(event).await?;
        }
        Ok(())
    }

    async fn event(&mut self, event: GrpcEvent) -> Result<()> {
        match event {
            GrpcEvent::InitialMetadata(metadata) => {
                self.stream = Some(self.begin(headers(&metadata)?, false)?);
            }
            GrpcEvent::Message(bytes) => {
                if self.stream.is_none() {
                    self.stream = Some(self.begin(HeaderMap::new(), false)?);
                }
                if let Some(stream) = &mut self.stream {
                    let length = u32::try_from(bytes.len())?.to_be_bytes();
                    let frame = [&[0], &length[..], &bytes].concat();
                    stream.send_data(frame.into(), false)?;
                }
            }
            GrpcEvent::Close {
                status,
                message,
                metadata,
            } => {
                let mut trailers = headers(&metadata)?;
                trailers.insert("grpc-status", status.into());
                if !message.is_empty() {
                    trailers.insert("grpc-message", message.try_into()?);
                }
                match &mut self.stream {
                    Some(stream) => stream.send_trailers(trailers)?,
                    None => self.stream = Some(self.begin(trailers, true)?),
                }
            }
            GrpcEvent::Reset => {
                // Once all that was said before has left: what is reset before is not sent.
                tokio::time::sleep(Duration::from_millis(50)).await;
                match &mut self.stream {
                    Some(stream) => stream.send_reset(Reason::INTERNAL_ERROR),
                    None => self.respond.send_reset(Reason::INTERNAL_ERROR),
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, headers: HeaderMap, ends: bool) -> Result<SendStream<Bytes>> {
        let mut head = Response::new(());
        *head.headers_mut() = headers;
        let kind = header::HeaderValue::from_static("application/grpc");
        head.headers_mut().insert(header::CONTENT_TYPE, kind);
        Ok(self.respond.send_response(head, ends)?)
    }
}
