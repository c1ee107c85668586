//! What DNS blacklists say of a client.

use serde::Serialize;
use std::fmt;
use std::net::Ipv4Addr;

/// A client whose weights add up to the threshold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// The sum over all sites.
    pub total: i32,
    /// The sites that have it, the weightiest first.
    pub sites: Vec<Listed>,
    /// What the first of them says about it, one line of printable ASCII, if it was asked.
    pub text: Option<String>,
}

/// One site that has a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its domain.
    pub site: String,
    /// Its addresses, which say why (RFC 5782 section 2.3).
    pub codes: Vec<Ipv4Addr>,
    /// What it adds to the sum.
    pub weight: i32,
}

impl Listing {
    /// The site that weighs most.
    #[must_use]
    pub fn site(&self) -> &str {
        self.sites.first().map_or("", |first| &first.site)
    }

    /// The addresses of that site.
    #[must_use]
    pub fn codes(&self) -> Codes<'_> {
        Codes(self.sites.first().map_or(&[], |first| &first.codes))
    }
}

/// Addresses, displayed with commas between.
#[derive(Debug, Clone, Copy)]
pub struct Codes<'a>(&'a [Ipv4Addr]);

impl fmt::Display for Codes<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, code) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(out, "{comma}{code}")?;
        }
        Ok(())
    }
}
