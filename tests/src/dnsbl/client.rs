//! A client for DNS over HTTPS, to see what a resolver answers.

use std::{net::SocketAddr, time::Duration};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, header};
use tokio::{net::TcpStream, time};

use super::{
    MEDIA_TYPE,
    message::{self, Record, Reply},
};
use crate::Error;

/// How long one answer may take; a resolver whose server is dead can take longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest body read, octets: the longest DNS message.
const MAX_BODY: usize = 65536;

/// What a resolver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DohAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The message, if there is one.
    pub reply: Option<Reply>,
}

impl DohAnswer {
    /// Whether the message holds an address.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        let answers = self.reply.iter().flat_map(|reply| &reply.answers);
        answers
            .into_iter()
            .any(|(_, record)| matches!(record, Record::A(_)))
    }
}

/// Asks the resolver at `address`, by cleartext HTTP/2 and GET (RFC 8484 section 4.1).
///
/// # Errors
/// [`Error::Dns`] if there is no HTTP answer in time, or its message cannot be read.
pub fn ask(address: SocketAddr, name: &str, record: &str) -> Result<DohAnswer, Error> {
    let question = URL_SAFE_NO_PAD.encode(&message::ask(name, record)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::dns("starting a client"))?;
    let exchanged = runtime.block_on(async {
        let limited = time::timeout(PATIENCE, exchange(address, &question)).await;
        limited.map_err(Error::dns(format!("asking {address}")))?
    });
    let (status, body) = exchanged?;
    let reply = match status {
        200 => Some(message::read_reply(body)?),
        _ => None,
    };
    Ok(DohAnswer { status, reply })
}

/// One question on a connection of its own: status and body.
async fn exchange(address: SocketAddr, question: &str) -> Result<(u16, Vec<u8>), Error> {
    let failed = || format!("asking {address}");
    let request = Request::get(format!("http://{address}/dns-query?dns={question}"))
        .header(header::ACCEPT, MEDIA_TYPE)
        .body(())
        .map_err(Error::dns(failed()))?;
    let socket = TcpStream::connect(address)
        .await
        .map_err(Error::dns(failed()))?;
    let (mut client, connection) = h2::client::handshake(socket)
        .await
        .map_err(Error::dns(failed()))?;
    // The connection moves only while it is polled, and ends with the runtime.
    tokio::spawn(connection);
    let (answer, _) = client
        .send_request(request, true)
        .map_err(Error::dns(failed()))?;
    let answer = answer.await.map_err(Error::dns(failed()))?;
    let status = answer.status().as_u16();
    let body = read_body(answer.into_body()).await?;
    Ok((status, body))
}

/// Everything that a stream of the other side brings.
///
/// # Errors
/// [`Error::Dns`] if it breaks off, or is longer than a message can be.
pub(super) async fn read_body(mut stream: h2::RecvStream) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data.map_err(Error::dns("reading a body"))?;
        let _ = stream.flow_control().release_capacity(data.len());
        body.extend_from_slice(&data);
        if body.len() > MAX_BODY {
            return Err(Error::Dns {
                doing: "reading a body".into(),
                reason: format!("longer than {MAX_BODY} octets"),
            });
        }
    }
    Ok(body)
}
