//! Postfix's own load generator.

use std::{process::Command, time::Instant};

use anyhow::Result;
use portcullis_tests::{paths, process::output_of};

use super::{Delivered, Deliveries, PerConnection};

/// Delivers messages by `smtp-source`, from one address.
///
/// # Errors
/// If it is not installed, or one of them fails.
pub fn smtp_source(plan: Deliveries) -> Result<Delivered> {
    let Deliveries { server, .. } = plan;
    let mut command = Command::new(paths::on_path("smtp-source")?);
    if plan.per_connection == PerConnection::Many {
        command.arg("-d");
    }
    command
        .args(["-s", &plan.at_once.to_string()])
        .args(["-m", &plan.messages.to_string()])
        .args(["-l", "100", "-f", "carol@example.com"])
        .args(["-t", "alice@example.test"])
        .arg(format!("inet:[{}]:{}", server.ip(), server.port()));
    let start = Instant::now();
    output_of(&mut command)?;
    Ok(Delivered {
        messages: plan.messages,
        seconds: start.elapsed().as_secs_f64(),
    })
}
