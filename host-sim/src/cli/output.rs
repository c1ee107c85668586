//! How results are printed and written.

use std::io::{self, ErrorKind, Write};
use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

/// For people or for programs.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Format {
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// Prints one JSON object and a line end.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    Ok(print(&mut io::stdout().lock(), &format!("{text}\n"))?)
}

/// Prints a text, in its colours on a terminal and unless `NO_COLOR` is set.
pub(super) fn show(text: &str) -> io::Result<()> {
    print(&mut anstream::stdout().lock(), text)
}

/// Whoever closed our output does not want the rest.
fn print(out: &mut impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// Writes a report.
pub(super) fn write_report(path: &Path, page: &str) -> anyhow::Result<()> {
    std::fs::write(path, page)
        .with_context(|| format!("cannot write the report {}", path.display()))
}

/// A table whose columns hold names before this one, and numbers from it on.
pub(super) fn table(header: &[&str], numbers: usize) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(header);
    for column in table.column_iter_mut().skip(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
