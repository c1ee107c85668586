//! A scripted resolver for what a real one does only in its bad hours.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use h2::{Reason, server::SendResponse};
use http::{Method, Request, header};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time,
};

use super::{MEDIA_TYPE, Question, Reply, client::read_body, message};
use crate::{
    Error,
    deadline::{PATIENCE, Seen, wait_for},
};

/// How the script answers one question.
#[derive(Debug, Clone)]
pub enum Then {
    /// As it should.
    Answer(Reply),
    /// As if this name had been asked for.
    AnswerTo(&'static str, Reply),
    /// With an HTTP status and no message.
    Status(u16),
    /// With a message that is called something else.
    ContentType(&'static str, Reply),
    /// With these octets, called a message.
    Octets(Vec<u8>),
    /// Never.
    Hang,
    /// By a reset of the stream.
    Reset,
}

/// When and how the script answers one question.
#[derive(Debug, Clone)]
pub struct Response {
    /// After this long.
    pub after: Duration,
    /// This.
    pub then: Then,
}

impl From<Then> for Response {
    fn from(then: Then) -> Self {
        let after = Duration::ZERO;
        Self { after, then }
    }
}

impl From<Reply> for Response {
    fn from(reply: Reply) -> Self {
        Then::Answer(reply).into()
    }
}

impl Response {
    /// The same, after a while.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }
}

type Script = Box<dyn Fn(&Question) -> Response + Send>;

/// What the server's thread and the test share.
struct Shared {
    script: Mutex<Script>,
    asked: Mutex<Vec<Question>>,
    connections: AtomicUsize,
}

/// A running scripted resolver on cleartext HTTP/2; dropping it ends it and its connections.
pub struct FakeDoh {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for FakeDoh {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "FakeDoh({})", self.address)
    }
}

impl FakeDoh {
    /// Answers by this script on a free port.
    ///
    /// # Errors
    /// [`Error::Dns`] if it cannot be started.
    pub fn answering<R: Into<Response>>(
        script: impl Fn(&Question) -> R + Send + 'static,
    ) -> Result<Self, Error> {
        Self::answering_at((Ipv4Addr::LOCALHOST, 0).into(), script)
    }

    /// The same at this address, such as that of one that was dropped.
    ///
    /// # Errors
    /// As [`FakeDoh::answering`].
    pub fn answering_at<R: Into<Response>>(
        address: SocketAddr,
        script: impl Fn(&Question) -> R + Send + 'static,
    ) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::dns("starting a resolver"))?;
        let listener = runtime
            .block_on(TcpListener::bind(address))
            .map_err(Error::dns(format!("listening on {address}")))?;
        let address = listener
            .local_addr()
            .map_err(Error::dns("starting a resolver"))?;
        let shared = Arc::new(Shared {
            script: Mutex::new(boxed(script)),
            asked: Mutex::default(),
            connections: AtomicUsize::new(0),
        });
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(&listener, &served) => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Self {
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers by another script from now on.
    pub fn answer<R: Into<Response>>(&self, script: impl Fn(&Question) -> R + Send + 'static) {
        let mut current = self
            .shared
            .script
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *current = boxed(script);
    }

    /// Every question so far, in order.
    #[must_use]
    pub fn questions(&self) -> Vec<Question> {
        self.shared.asked().clone()
    }

    /// How often this name was asked for, any type.
    #[must_use]
    pub fn asked(&self, name: &str) -> usize {
        let asked = self.shared.asked();
        asked
            .iter()
            .filter(|question| question.name == name)
            .count()
    }

    /// How many questions about clients a list got; those for its test points are not counted.
    #[must_use]
    pub fn asked_about_clients(&self, domain: &str) -> usize {
        let about = |question: &&Question| question.is_in(domain) && !question.is_test_point();
        self.shared.asked().iter().filter(about).count()
    }

    /// Waits until this name has been asked for `count` times.
    ///
    /// # Errors
    /// [`Error::Late`].
    pub fn wait_until_asked(&self, name: &str, count: usize) -> Result<(), Error> {
        wait_for(&format!("{count} questions for {name}"), PATIENCE, || {
            let seen = self.asked(name);
            Ok(if seen < count {
                Seen::NotYet(format!("{seen}"))
            } else {
                Seen::Done(())
            })
        })
    }

    /// How many connections it has taken.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Drop for FakeDoh {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn asked(&self) -> std::sync::MutexGuard<'_, Vec<Question>> {
        // A test that failed inside its script has said so already.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn script(&self, question: &Question) -> Response {
        self.asked().push(question.clone());
        let script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        script(question)
    }
}

fn boxed<R: Into<Response>>(script: impl Fn(&Question) -> R + Send + 'static) -> Script {
    Box::new(move |question| script(question).into())
}

async fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(connection(socket, Arc::clone(shared)));
    }
}

/// Serves one connection until the other side has enough of it.
async fn connection(socket: TcpStream, shared: Arc<Shared>) {
    let Ok(mut connection) = h2::server::handshake(socket).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // What goes wrong here is the other side's leaving, or a question that is none.
            let _ = exchange(request, respond, &shared).await;
        });
    }
}

async fn exchange(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    shared: &Shared,
) -> Result<(), Error> {
    let Ok((message, question)) = question(request).await.and_then(message::read_question) else {
        return send(&mut respond, 400, "text/plain", Vec::new()).await;
    };
    let response = shared.script(&question);
    time::sleep(response.after).await;
    match response.then {
        Then::Answer(reply) => send(&mut respond, 200, MEDIA_TYPE, reply.to(&message)?).await,
        Then::AnswerTo(name, reply) => {
            let (other, _) = message::read_question(message::ask(name, "A")?)?;
            send(&mut respond, 200, MEDIA_TYPE, reply.to(&other)?).await
        }
        Then::Status(status) => send(&mut respond, status, "text/plain", Vec::new()).await,
        Then::ContentType(kind, reply) => send(&mut respond, 200, kind, reply.to(&message)?).await,
        Then::Octets(octets) => send(&mut respond, 200, MEDIA_TYPE, octets).await,
        Then::Hang => std::future::pending().await,
        Then::Reset => {
            respond.send_reset(Reason::INTERNAL_ERROR);
            Ok(())
        }
    }
}

/// The DNS message of a GET or a POST (RFC 8484 section 4.1).
async fn question(request: Request<h2::RecvStream>) -> Result<Vec<u8>, Error> {
    if request.method() == Method::POST {
        return read_body(request.into_body()).await;
    }
    let parameters = request.uri().query().unwrap_or_default().split('&');
    let message = parameters
        .into_iter()
        .find_map(|parameter| parameter.strip_prefix("dns="));
    URL_SAFE_NO_PAD
        .decode(message.unwrap_or_default().as_bytes())
        .map_err(Error::dns("reading a question"))
}

async fn send(
    respond: &mut SendResponse<Bytes>,
    status: u16,
    content_type: &str,
    body: Vec<u8>,
) -> Result<(), Error> {
    let head = http::Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, content_type)
        .body(())
        .map_err(Error::dns("answering"))?;
    let mut stream = respond
        .send_response(head, body.is_empty())
        .map_err(Error::dns("answering"))?;
    if body.is_empty() {
        return Ok(());
    }
    // Beyond the other side's window the rest waits in `stream`'s connection.
    stream
        .send_data(body.into(), true)
        .map_err(Error::dns("answering"))
}
