//! What is wrong with a site as it is written.

use thiserror::Error;

/// What is wrong with a site.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("at octet {position}: expected {expected}")]
pub struct SiteError {
    /// Where in the text, in octets from 0.
    pub position: usize,
    /// What would do.
    pub expected: &'static str,
}
