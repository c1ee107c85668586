//! Prints the JSON Schema of the configuration (`make schema`).

use portcullis_core::policy::Config;

fn main() -> Result<(), serde_json::Error> {
    let schema = schemars::schema_for!(Config);
    println!("{}", serde_json::to_string_pretty(&schema)?);
    Ok(())
}
