//! Postfix's postscreen before Postfix's smtpd.

use anyhow::{Result, bail};

use super::Running;

pub(super) fn start() -> Result<Running> {
    bail!("not yet")
}
