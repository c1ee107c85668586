//! What the filter says of a session, and where.

use clap::Args;

use crate::attack::RecordFields;

/// What the filter says of a session.
#[derive(Debug, Args)]
pub(super) struct Record {
    /// The property that is the filter's record of a session, a JSON object; by
    /// default the first one that is.
    #[arg(long, value_name = "NAME")]
    record: Option<String>,
    /// The fields of the record that tell sessions apart.
    #[arg(
        long,
        value_name = "NAME,...",
        value_delimiter = ',',
        default_value = "verdict,rule"
    )]
    record_fields: Vec<String>,
}

impl Record {
    pub(super) fn fields(&self) -> RecordFields {
        RecordFields {
            property: self.record.clone(),
            fields: self.record_fields.clone(),
        }
    }
}
