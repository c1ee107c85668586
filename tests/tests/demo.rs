//! `make demo`, small: the attack is cut, honest mail is not, and a missed bar is a failure.

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

fn demo(arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis-demo"));
    Ok(command.args(arguments).output()?)
}

#[test]
fn the_attack_is_cut_and_honest_mail_delivered() -> Result<()> {
    for more in [
        ["--reply", "451"].as_slice(),
        &["--reply", "550"],
        // Under TLS the server is asked about as many names.
        &["--starttls"],
    ] {
        let size = ["--bots", "20", "--sessions", "10", "--honest", "20"];
        let output = demo(&[size.as_slice(), more].concat())?;
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{said}{errors}");
        let summary = said.lines().last().context("nothing was printed")?;
        ensure!(summary.starts_with("demo: lookups 40"), "{summary}");
        ensure!(
            summary.ends_with(" %), honest 20/20, cut 20/20"),
            "{summary}"
        );
    }
    Ok(())
}

#[test]
fn a_missed_bar_is_a_failure_with_its_reason() -> Result<()> {
    // Almost all mail is honest here, and what is honest must be looked up.
    let output = demo(&[
        "--bots",
        "1",
        "--sessions",
        "1",
        "--names",
        "5",
        "--honest",
        "50",
    ])?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "{errors}");
    ensure!(errors.contains("% of the recipients"), "{errors}");
    Ok(())
}
