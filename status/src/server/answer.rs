//! What is answered to whom.

use std::net::IpAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};

use crate::Shared;
use crate::board::{Wanted, locked};

const PAGE: &str = include_str!("../page/index.html");
const SCRIPT: &str = include_str!("../page/status.js");
const ICON: &str = include_str!("../page/icon.svg");
/// The look of all our pages, and what this one has besides.
const STYLE: &str = concat!(
    include_str!("../../../host-sim/src/report/page.css"),
    include_str!("../page/status.css")
);

/// Nothing from elsewhere, nothing that stands in the page itself, and no frame around it.
const SECURITY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                        connect-src 'self'; base-uri 'none'; form-action 'none'; \
                        frame-ancestors 'none'";
/// The longest filter, in letters; no address or rule has as many.
const LONGEST_FILTER: usize = 100;

pub(super) type Answer = Response<Full<Bytes>>;

/// The answer to a request.
pub(super) fn to<B>(request: &Request<B>, board: &Shared) -> Answer {
    let host = request.headers().get(HOST);
    if !host.is_some_and(is_ours) {
        let why = "This page answers by its address or as localhost only, so that no other site \
                   can have a name of its own lead here.\n";
        return text(StatusCode::FORBIDDEN, why);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "There is nothing to change here.\n",
        );
        let allow = HeaderValue::from_static("GET, HEAD");
        answer.headers_mut().insert(ALLOW, allow);
        return answer;
    }
    match request.uri().path() {
        "/" => whole("text/html; charset=utf-8", PAGE),
        "/status.css" => whole("text/css; charset=utf-8", STYLE),
        "/status.js" => whole("text/javascript; charset=utf-8", SCRIPT),
        "/icon.svg" => whole("image/svg+xml", ICON),
        "/status.json" => state(request.uri().query().unwrap_or_default(), board),
        _ => text(StatusCode::NOT_FOUND, "There is no such page.\n"),
    }
}

/// Whether a request is for an address, or for this machine. A name would be another site's, led
/// here to read the page in its visitors' browsers.
fn is_ours(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

fn state(query: &str, board: &Shared) -> Answer {
    match locked(board).view(&wanted(query)) {
        Ok(view) => answer(StatusCode::OK, "application/json", view.into()),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
    }
}

fn wanted(query: &str) -> Wanted {
    let mut wanted = Wanted::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "filter" => wanted.filter = value.chars().take(LONGEST_FILTER).collect(),
            "from" => wanted.from = value.parse().unwrap_or_default(),
            _ => {}
        }
    }
    wanted
}

fn whole(kind: &'static str, content: &'static str) -> Answer {
    answer(StatusCode::OK, kind, Bytes::from_static(content.as_bytes()))
}

fn text(status: StatusCode, text: &str) -> Answer {
    answer(status, "text/plain; charset=utf-8", text.to_owned().into())
}

fn answer(status: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, SECURITY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("same-origin"),
    );
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, board::Board};
    use clap::Parser as _;
    use std::sync::{Arc, Mutex};

    fn asked(method: Method, path: &str, host: Option<&str>) -> Answer {
        let options = Options::parse_from(["portcullis-status"]);
        let board = Arc::new(Mutex::new(Board::new(&options)));
        let mut request = Request::builder().method(method).uri(path);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        to(&request.body(()).unwrap(), &board)
    }

    #[test]
    fn what_there_is_comes_with_its_kind_and_the_strict_headers() {
        for (path, kind) in [
            ("/", "text/html; charset=utf-8"),
            ("/status.css", "text/css; charset=utf-8"),
            ("/status.js", "text/javascript; charset=utf-8"),
            ("/icon.svg", "image/svg+xml"),
            ("/status.json?filter=x&from=50", "application/json"),
        ] {
            let answer = asked(Method::GET, path, Some("127.0.0.1:8025"));
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            assert_eq!(answer.headers()[CONTENT_TYPE], kind);
            assert_eq!(answer.headers()[CONTENT_SECURITY_POLICY], SECURITY);
            assert_eq!(answer.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        }
    }

    #[test]
    fn nothing_else_is_answered() {
        let host = Some("localhost");
        assert_eq!(asked(Method::GET, "/../etc/passwd", host).status(), 404);
        assert_eq!(asked(Method::POST, "/", host).status(), 405);
        assert_eq!(asked(Method::DELETE, "/status.json", host).status(), 405);
    }

    #[test]
    fn a_name_that_leads_here_is_refused() {
        for host in ["localhost:8025", "127.0.0.1", "[::1]:8025", "192.0.2.1:80"] {
            assert_eq!(asked(Method::GET, "/", Some(host)).status(), 200, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8025",
            "localhost.evil.example",
            "",
            ":1",
        ] {
            assert_eq!(asked(Method::GET, "/", Some(host)).status(), 403, "{host}");
        }
        assert_eq!(asked(Method::GET, "/", None).status(), 403);
    }

    #[test]
    fn the_query_says_whom_to_show() {
        let seen = wanted("from=50&filter=192.0.2.1%2F32+x&other=1");
        assert_eq!((seen.filter.as_str(), seen.from), ("192.0.2.1/32 x", 50));
        assert_eq!(wanted("from=-1"), Wanted::default());
        let long = format!("filter={}", "y".repeat(1000));
        assert_eq!(wanted(&long).filter.len(), LONGEST_FILTER);
    }

    #[test]
    fn the_page_has_nothing_that_its_own_policy_forbids() {
        for forbidden in [
            "<style",
            " style=",
            "javascript:",
            " onclick=",
            "http://",
            "https://",
        ] {
            assert!(!PAGE.contains(forbidden), "{forbidden}");
        }
        assert_eq!(PAGE.matches("<script").count(), 1);
        assert!(PAGE.contains("<script src=\"status.js\" defer></script>"));
        for forbidden in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "eval(",
            "document.write",
        ] {
            assert!(!SCRIPT.contains(forbidden), "{forbidden}");
        }
    }
}
