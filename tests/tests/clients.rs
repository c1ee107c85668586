//! Real mail clients pass untouched, each with its own habits: what they did not deliver is what
//! Postfix itself refused.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use portcullis_tests::{paths, process::output_of, stand::Stand};

/// Runs one of our client scripts against the guard.
fn script(name: &str, stand: &Stand) -> Result<String> {
    let python = paths::python()?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("clients")
        .join(name);
    let address = stand.envoy.address();
    let mut command = Command::new(python);
    command
        .arg(file)
        .arg(address.ip().to_string())
        .arg(address.port().to_string());
    output_of(&mut command).context("if a module is missing: make setup")
}

fn has_delivered(stand: &Stand, messages: usize) -> Result<()> {
    assert_eq!(stand.postfix.log().wait_for_messages(messages)?, messages);
    let traps = stand.envoy.traps()?;
    ensure!(traps.is_empty(), "{traps:#?}");
    Ok(())
}

#[test]
fn smtp_source_delivers_500_messages_over_20_sessions() -> Result<()> {
    let stand = Stand::with_defaults()?;
    let mut command = Command::new(paths::on_path("smtp-source")?);
    command
        .args(["-s", "20", "-m", "500", "-l", "4096"])
        .args(["-f", "sender@example.org", "-t", "alice@example.test"])
        .arg(stand.envoy.address().to_string());
    output_of(&mut command)?;
    has_delivered(&stand, 500)
}

#[test]
fn smtp_source_delivers_over_kept_connections() -> Result<()> {
    let stand = Stand::with_defaults()?;
    let mut command = Command::new(paths::on_path("smtp-source")?);
    command
        .args(["-d", "-s", "5", "-m", "100"])
        .args(["-f", "sender@example.org", "-t", "bob@example.test"])
        .arg(stand.envoy.address().to_string());
    output_of(&mut command)?;
    has_delivered(&stand, 100)
}

#[test]
fn swaks_delivers_to_two_of_three() -> Result<()> {
    let stand = Stand::with_defaults()?;
    let address = stand.envoy.address();
    // The second time it may be the guard that answers: the worker that was told first remembers.
    for (style, refusal) in [
        ([].as_slice(), "550 5.1.1 <alcie@example.test>"),
        (&["--pipeline"], "550 5.1.1 "),
    ] {
        let mut command = Command::new(paths::on_path("swaks")?);
        command
            .args([
                "--server",
                &address.ip().to_string(),
                "--port",
                &address.port().to_string(),
            ])
            .args([
                "--from",
                "sender@example.org",
                "--helo",
                "client.example.org",
            ])
            .args([
                "--to",
                "alice@example.test,alcie@example.test,bob@example.test",
            ])
            .args(style);
        let said = output_of(&mut command)?;
        ensure!(said.contains(refusal), "{said}");
        ensure!(said.contains("221 2.0.0 Bye"), "{said}");
    }
    has_delivered(&stand, 2)
}

#[test]
fn smtplib_goes_on_after_refused_recipients() -> Result<()> {
    let stand = Stand::with_defaults()?;
    let said = script("smtplib_habits.py", &stand)?;
    assert_eq!(said.lines().last(), Some("delivered 4"), "{said}");
    has_delivered(&stand, 4)
}

#[test]
fn aiosmtplib_goes_on_after_refused_recipients() -> Result<()> {
    let stand = Stand::with_defaults()?;
    let said = script("aiosmtplib_habits.py", &stand)?;
    assert_eq!(said.lines().last(), Some("delivered 4"), "{said}");
    has_delivered(&stand, 4)
}
