//! The status page in a real browser: ten thousand listed clients on phones and desktops, hostile
//! names as text, an Envoy that goes away and comes back.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, ensure};
use portcullis_tests::{
    Error,
    browser::Browser,
    deadline::{PATIENCE, Seen, wait_for},
    status_page::{Shown, StatusPage},
};
use serde_json::{Value, json};
use tempfile::TempDir;

const PHONE: (u32, u32) = (360, 740);
const DESKTOP: (u32, u32) = (1280, 900);
const LISTED: usize = 10_000;
/// Whoever writes the log may have written this.
const HOSTILE: &str = "<img src=x onerror=document.title='owned'>\"'&amp;</script>";

/// The ratio of each text's colour to what is behind it, the least of all, and whose that is.
const CONTRAST: &str = r#"(() => {
  const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parts(colour).slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    const opaque = parts(colour).length === 3;
    return opaque ? colour : element.parentElement ? behind(element.parentElement) : "rgb(255, 255, 255)";
  };
  let worst = [21, ""];
  const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const element = text.parentElement;
    if (!text.data.trim() || !element.checkVisibility() || element.disabled) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, element.outerHTML];
  }
  return worst;
})()"#;

/// Something that answers as Envoy's administration interface, or does not.
struct Envoy {
    address: SocketAddr,
    /// Sessions that it has counted; 0: it hangs up on everybody.
    sessions: Arc<AtomicU64>,
}

impl Envoy {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let sessions = Arc::new(AtomicU64::new(100));
        let count = Arc::clone(&sessions);
        // It ends with the test's process; a client at a time is all that comes.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sessions = count.load(Ordering::SeqCst);
                if sessions > 0 {
                    let _gone = answer(stream, sessions);
                }
            }
        });
        Ok(Self { address, sessions })
    }
}

/// It has run since before any record was written.
fn answer(mut stream: TcpStream, sessions: u64) -> std::io::Result<()> {
    let head = BufReader::new(stream.try_clone()?).lines();
    for line in head {
        if line?.is_empty() {
            break;
        }
    }
    let body = format!(
        "envoy_server_uptime{{}} 10000000000\nportcullis_sessions_total{{}} {sessions}\n\
         portcullis_sessions_open{{}} 7\nportcullis_listings{{}} {}\n\
         portcullis_attack_workers{{}} 1\nportcullis_errands_lost_total{{}} 3\n\
         portcullis_closed_total{{rule=\"rcpt.max_consecutive\"}} 40\n\
         portcullis_refused_total{{rule=\"{}\"}} 60\n",
        LISTED + 5,
        HOSTILE.replace('"', "\\\"")
    );
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// An Envoy, a log and the page that shows them.
struct Stage {
    envoy: Envoy,
    log: PathBuf,
    page: StatusPage,
    _directory: TempDir,
}

impl Stage {
    fn set() -> Result<Self> {
        let envoy = Envoy::start()?;
        let directory = TempDir::new()?;
        let log = directory.path().join("access.log");
        fs::write(&log, lines(LISTED)?)?;
        let shown = Shown {
            admin: envoy.address,
            access_log: log.clone(),
            listen: "127.0.0.1:0".parse()?,
        };
        Ok(Self {
            page: shown.start()?,
            envoy,
            log,
            _directory: directory,
        })
    }

    fn url(&self) -> String {
        format!("http://{}/", self.page.address())
    }

    fn append(&self, line: &Value) -> Result<()> {
        let mut log = File::options().append(true).open(&self.log)?;
        Ok(writeln!(log, "{line}")?)
    }
}

/// A record as the guard leaves it, of a client listed for so long or not at all.
fn record(client: &str, listed_s: Option<u64>) -> Result<Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let listed = listed_s
        .map(|listed_s| json!({ "reason": "ledger.streak", "until": now + listed_s, "times": 2 }));
    let verdict = if listed.is_some() { "close" } else { "admit" };
    Ok(json!({
        "start": "2026-11-26T14:00:00.000Z", "client": format!("{client}:40001"),
        "portcullis": {
            "client": client, "prefix": format!("{client}/32"), "verdict": verdict,
            "rule": listed.is_some().then_some("rcpt.max_consecutive"), "listed": listed,
            "tried": 5, "rejected": 5, "messages": 0,
        }
    }))
}

/// So many listed clients, the hostile one for longest, so that it is on the first page.
fn lines(listed: usize) -> Result<String> {
    let mut text = String::new();
    for number in 0..listed - 1 {
        let client = format!("10.{}.{}.7", number / 250, number % 250);
        writeln!(text, "{}", record(&client, Some(3600 + number as u64))?)?;
    }
    writeln!(text, "{}", record(HOSTILE, Some(90_000))?)?;
    Ok(text)
}

/// Waits until an expression in the page has this value.
fn until(browser: &mut Browser, expression: &str, wanted: &Value) -> Result<()> {
    let what = format!("{expression} to be {wanted}");
    wait_for(&what, PATIENCE, || match browser.value(expression) {
        Ok(value) if value == *wanted => Ok(Seen::Done(())),
        other => Ok::<_, Error>(Seen::NotYet(format!("{other:?}"))),
    })?;
    Ok(())
}

fn text(id: &str) -> String {
    format!("document.getElementById('{id}').textContent.trim()")
}

const ROWS: &str = "document.querySelectorAll('#listed tbody .client').length";

/// Times of verdicts that stand in more than one line.
const BROKEN_TIMES: &str =
    "[...document.querySelectorAll('#verdicts td:first-child:not([colspan])')]
    .filter((cell) => {
      const range = document.createRange();
      range.selectNodeContents(cell);
      return range.getClientRects().length > 1;
    }).length";

fn type_in_filter(browser: &mut Browser, filter: &str) -> Result<()> {
    let filter = json!(filter);
    browser.value(&format!(
        "(() => {{ const box = document.getElementById('filter'); box.focus(); box.value = {filter}; \
         box.dispatchEvent(new Event('input')); }})()"
    ))?;
    Ok(())
}

/// All that has to hold in each window, whatever is shown.
fn looks_right(browser: &mut Browser, width: u32) -> Result<()> {
    let scrolls = browser.value("document.documentElement.scrollWidth")?;
    ensure!(scrolls == width, "{scrolls} wide in a window of {width}");
    let worst = browser.value(CONTRAST)?;
    ensure!(worst[0].as_f64().unwrap() >= 4.5, "contrast: {worst}");
    let unnamed =
        "[...document.querySelectorAll('input')].filter((one) => !one.labels.length).length";
    ensure!(browser.value(unnamed)? == 0);
    ensure!(browser.value(BROKEN_TIMES)? == 0);
    let deeds = browser.deeds();
    ensure!(deeds.console.is_empty(), "{:?}", deeds.console);
    Ok(())
}

#[test]
fn ten_thousand_listed_clients_are_shown_at_every_width() -> Result<()> {
    let stage = Stage::set()?;
    let mut browser = Browser::start()?;
    let schemes = [
        (PHONE, "light"),
        (PHONE, "dark"),
        (DESKTOP, "light"),
        (DESKTOP, "dark"),
    ];
    for (size, scheme) in schemes {
        let preferences = [
            ("prefers-color-scheme", scheme),
            ("prefers-reduced-motion", "reduce"),
        ];
        browser.visit(&stage.url(), size, &preferences)?;
        until(&mut browser, &text("state-word"), &json!("Live"))?;
        until(&mut browser, &text("place"), &json!("1 to 20 of 10,000"))?;
        ensure!(browser.value(ROWS)? == 20);
        looks_right(&mut browser, size.0)?;
        let moves = "document.getAnimations().length";
        ensure!(
            browser.value(moves)? == 0,
            "it moves for who asked it not to"
        );
    }
    let page = stage.url();
    let strange: Vec<String> = browser.deeds().requests;
    ensure!(
        strange.iter().all(|url| url.starts_with(&page)),
        "{strange:?}"
    );

    // The hostile name is text wherever it stands, and no element came of it.
    let first = "document.querySelector('#listed .client').textContent";
    ensure!(browser.value(first)?.as_str().unwrap().starts_with(HOSTILE));
    let rules = browser.value(&text("rules"))?;
    ensure!(rules.as_str().unwrap().contains(HOSTILE), "{rules}");
    ensure!(browser.value("document.querySelectorAll('img:not(h1 img)').length")? == 0);
    ensure!(browser.value("document.title")? == "Portcullis");

    browser.value("document.getElementById('last').click()")?;
    until(
        &mut browser,
        &text("place"),
        &json!("9,981 to 10,000 of 10,000"),
    )?;
    ensure!(browser.value("document.getElementById('next').disabled")? == true);
    type_in_filter(&mut browser, "10.7.")?;
    until(&mut browser, &text("place"), &json!("1 to 20 of 250"))?;
    type_in_filter(&mut browser, "10.7.3.7")?;
    until(&mut browser, ROWS, &json!(1))?;
    ensure!(
        browser.value("document.activeElement.id")? == "filter",
        "the focus was lost"
    );

    // Released: a later record calls the client listed no longer.
    stage.append(&record("10.7.3.7", None)?)?;
    until(&mut browser, ROWS, &json!(0))?;
    until(
        &mut browser,
        "document.querySelector('#verdicts .client').textContent",
        &json!("10.7.3.7"),
    )?;
    looks_right(&mut browser, DESKTOP.0)
}

#[test]
fn an_envoy_that_goes_away_is_told_of_until_it_is_back() -> Result<()> {
    let stage = Stage::set()?;
    let mut browser = Browser::start()?;
    browser.visit(&stage.url(), PHONE, &[])?;
    let state = text("state-word");
    until(&mut browser, &state, &json!("Live"))?;
    let notices = browser.value(&text("notices"))?;
    for part in [
        "An attack is under way",
        "portcullis_errands_lost_total counts 3",
    ] {
        ensure!(notices.as_str().unwrap().contains(part), "{notices}");
    }
    let open = "document.querySelector('[data-figure=open] dd').firstChild.textContent";
    until(&mut browser, open, &json!("7"))?;

    stage.envoy.sessions.store(0, Ordering::SeqCst);
    until(&mut browser, &state, &json!("Envoy is away"))?;
    let notices = browser.value(&text("notices"))?;
    let place = stage.envoy.address.to_string();
    ensure!(notices.as_str().unwrap().contains(&place), "{notices}");
    // What was known stays, marked as old.
    ensure!(browser.value(open)? == "7");
    ensure!(browser.value("document.body.classList.contains('stale')")? == true);
    looks_right(&mut browser, PHONE.0)?;

    stage.envoy.sessions.store(3, Ordering::SeqCst);
    until(&mut browser, &state, &json!("Live"))?;
    let begun = "document.querySelector('[data-figure=sessions] small').textContent";
    until(&mut browser, begun, &json!("3 in all"))?;
    ensure!(browser.value("document.body.classList.contains('stale')")? == false);
    Ok(())
}
