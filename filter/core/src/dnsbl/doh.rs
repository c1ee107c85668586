//! DNS over HTTPS (RFC 8484): how a message becomes a request, and what a response must be.

use super::Fault;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The longest body read, in octets. An answer of a blacklist takes a few hundred.
pub const MAX_BODY: usize = 4096;

const MEDIA_TYPE: &str = "application/dns-message";

/// How a question is sent (RFC 8484 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// In the path; caches on the way may answer.
    Get,
    /// In the body.
    Post,
}

/// One HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Pseudo-headers first, as HTTP/2 wants them (RFC 9113 section 8.3).
    pub headers: Vec<(&'static str, String)>,
    /// The message, where it is sent as a body.
    pub body: Option<Vec<u8>>,
}

/// The request that asks `message` of the resolver at `authority` and `path`. There is no
/// `content-length`: Envoy sets it from the body it is given.
#[must_use]
pub fn request(method: Method, authority: &str, path: &str, message: &[u8]) -> Request {
    let (method, path, body) = match method {
        Method::Get => {
            let question = URL_SAFE_NO_PAD.encode(message);
            ("GET", format!("{path}?dns={question}"), None)
        }
        Method::Post => ("POST", path.to_owned(), Some(message.to_vec())),
    };
    let mut headers = vec![
        (":method", method.to_owned()),
        (":scheme", "https".to_owned()),
        (":authority", authority.to_owned()),
        (":path", path),
        ("accept", MEDIA_TYPE.to_owned()),
    ];
    if body.is_some() {
        headers.push(("content-type", MEDIA_TYPE.to_owned()));
    }
    Request { headers, body }
}

/// Whether a response may be read as a DNS message.
///
/// # Errors
/// What is wrong with it. Envoy answers 504 itself when the resolver took too long, and 503 when
/// it could not be reached.
pub fn check_response(
    status: &str,
    content_type: Option<&str>,
    body_len: usize,
) -> Result<(), Fault> {
    match status.parse() {
        Ok(200) => {}
        Ok(504) => return Err(Fault::Timeout),
        Ok(503) => return Err(Fault::Unreachable),
        Ok(status) => return Err(Fault::HttpStatus(status)),
        Err(_) => return Err(Fault::HttpStatus(0)),
    }
    let essence = content_type.and_then(|value| value.split(';').next());
    if !essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(MEDIA_TYPE)) {
        return Err(Fault::ContentType);
    }
    if body_len > MAX_BODY {
        return Err(Fault::TooLong);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// The question for A of www.example.com (RFC 8484 section 4.1.1).
    const QUESTION: &[u8] = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01";

    #[test]
    fn requests_are_those_of_the_rfc() {
        // RFC 8484 section 4.1.1: the same question by GET and by POST.
        let path = "/dns-query?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB";
        let get = request(Method::Get, "dns.test:8443", "/dns-query", QUESTION);
        let expected = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "dns.test:8443"),
            (":path", path),
            ("accept", "application/dns-message"),
        ];
        assert_eq!(
            get.headers,
            expected.map(|(name, value)| (name, value.to_owned()))
        );
        assert_eq!(get.body, None);

        let post = request(Method::Post, "dns.test:8443", "/dns-query", QUESTION);
        let expected = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "dns.test:8443"),
            (":path", "/dns-query"),
            ("accept", "application/dns-message"),
            ("content-type", "application/dns-message"),
        ];
        assert_eq!(
            post.headers,
            expected.map(|(name, value)| (name, value.to_owned()))
        );
        assert_eq!(post.body.as_deref(), Some(QUESTION));
    }

    #[test]
    fn the_path_takes_any_octet_without_padding() {
        for (message, encoded) in [
            (&b""[..], ""),
            (b"\xfb\xff", "-_8"),
            (b"\xfb\xff\xff\xfe", "-____g"),
        ] {
            let got = request(Method::Get, "dns.test", "/q", message);
            let path = (":path", format!("/q?dns={encoded}"));
            assert!(got.headers.contains(&path), "{:?}", got.headers);
        }
    }

    #[test]
    fn only_a_whole_dns_message_is_read() {
        let dns = Some("application/dns-message");
        for (status, content_type, body_len, expected) in [
            ("200", dns, 0, Ok(())),
            ("200", dns, 4096, Ok(())),
            ("200", Some("Application/DNS-Message ; x=y"), 9, Ok(())),
            ("200", dns, 4097, Err(Fault::TooLong)),
            ("200", None, 9, Err(Fault::ContentType)),
            ("200", Some(""), 9, Err(Fault::ContentType)),
            ("200", Some("text/html"), 9, Err(Fault::ContentType)),
            (
                "200",
                Some("application/dns-messages"),
                9,
                Err(Fault::ContentType),
            ),
            (
                "200",
                Some("application/dns-json"),
                9,
                Err(Fault::ContentType),
            ),
            ("503", Some("text/plain"), 9, Err(Fault::Unreachable)),
            ("504", Some("text/plain"), 9, Err(Fault::Timeout)),
            ("404", dns, 9, Err(Fault::HttpStatus(404))),
            ("204", dns, 0, Err(Fault::HttpStatus(204))),
            ("429", None, 9, Err(Fault::HttpStatus(429))),
            ("", dns, 9, Err(Fault::HttpStatus(0))),
            ("99999", dns, 9, Err(Fault::HttpStatus(0))),
        ] {
            let got = check_response(status, content_type, body_len);
            assert_eq!(got, expected, "{status} {content_type:?} {body_len}");
        }
    }
}
