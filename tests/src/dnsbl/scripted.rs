//! A resolver for the simulator: the same scripts as for a real one, in virtual time.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_host_sim::{HttpAnswer, HttpRequest};

use super::{Question, Reply, message};

const MEDIA_TYPE: (&str, &str) = ("content-type", "application/dns-message");

/// The questions a scripted cluster was asked, in order.
#[derive(Debug, Clone, Default)]
pub struct Asked(Arc<Mutex<Vec<Question>>>);

impl Asked {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Question> {
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }

    /// Those about clients, test points left out.
    #[must_use]
    pub fn about_clients(&self) -> Vec<Question> {
        let mut asked = self.all();
        asked.retain(|question| !question.is_test_point());
        asked
    }

    /// Those for test points.
    #[must_use]
    pub fn tests(&self) -> usize {
        self.all().len() - self.about_clients().len()
    }

    fn add(&self, question: Question) {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(question);
    }
}

/// A cluster for `portcullis_host_sim::Builder::cluster` that `script` answers; and what it was
/// asked. A request that is no question is answered `400`.
pub fn scripted(
    mut script: impl FnMut(&Question) -> Scripted + Send + 'static,
) -> (
    Asked,
    impl FnMut(&HttpRequest) -> HttpAnswer + Send + 'static,
) {
    let asked = Asked::default();
    let log = asked.clone();
    let answer = move |request: &HttpRequest| {
        let octets = match request.header(":method") {
            Some("POST") => Some(request.body.clone()),
            _ => request
                .header(":path")
                .and_then(|path| path.split_once("?dns="))
                .and_then(|(_, dns)| URL_SAFE_NO_PAD.decode(dns.as_bytes()).ok()),
        };
        let question = octets.and_then(|octets| message::read_question(octets).ok());
        let Some((message, question)) = question else {
            return HttpAnswer::respond(400, &[], "");
        };
        log.add(question.clone());
        match script(&question) {
            Scripted::Http(answer) => answer,
            Scripted::Dns(reply) => match reply.to(&message) {
                Ok(body) => HttpAnswer::respond(200, &[MEDIA_TYPE], body),
                Err(error) => HttpAnswer::respond(500, &[], error.to_string()),
            },
        }
    };
    (asked, answer)
}

/// What a script answers.
#[derive(Debug, Clone)]
pub enum Scripted {
    /// A DNS message.
    Dns(Reply),
    /// Anything else.
    Http(HttpAnswer),
}

impl From<Reply> for Scripted {
    fn from(reply: Reply) -> Self {
        Self::Dns(reply)
    }
}

/// What a list that works says of its test points (RFC 5782 section 5); `None` for clients.
#[must_use]
pub fn test_point(question: &Question) -> Option<Reply> {
    question.is_test_point().then(|| {
        if question.name.starts_with("2.") {
            Reply::listed(&[[127, 0, 0, 2]], 300)
        } else {
            Reply::unlisted(300)
        }
    })
}
