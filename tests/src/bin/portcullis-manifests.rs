//! `make manifests`: writes the files of `envoy/kubernetes` that are made from others.

use std::{fs, process::ExitCode};

use anyhow::{Context, Result};
use portcullis_tests::kubernetes::{Generated, generate};

fn main() -> ExitCode {
    match write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portcullis-manifests: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn write() -> Result<()> {
    for Generated { path, text } in generate()? {
        let doing = || path.display().to_string();
        if fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            fs::write(&path, text).with_context(doing)?;
            println!("manifests: wrote {}", doing());
        }
    }
    Ok(())
}
