//! Addresses differ from run to run: names in their place.

use std::net::SocketAddr;

/// What is put in place of what.
pub(crate) struct Names(Vec<(String, String)>);

impl Names {
    pub(crate) fn new(
        listener: SocketAddr,
        server: SocketAddr,
        clients: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        let mut names = Vec::new();
        let mut name = |address: SocketAddr, name: String| {
            names.push((address.to_string(), format!("<{name}>")));
            names.push((port(address), format!("<port of {name}>")));
        };
        name(listener, "listener".into());
        name(server, "server".into());
        for (place, client) in clients.into_iter().enumerate() {
            name(client, format!("client {place}"));
        }
        Self(names)
    }

    pub(crate) fn replace(&self, line: &str) -> String {
        let replaced = |line: String, (from, to): &(String, String)| line.replace(from, to);
        self.0.iter().fold(line.to_owned(), replaced)
    }
}

/// A port as the probe tells a number of 64 bits.
fn port(address: SocketAddr) -> String {
    let escape = |byte: &u8| match byte {
        b'\\' => "\\5c".to_owned(),
        32..127 => char::from(*byte).to_string(),
        _ => format!("\\{byte:02x}"),
    };
    let bytes = u64::from(address.port()).to_le_bytes();
    format!("[8]{}", bytes.iter().map(escape).collect::<String>())
}
