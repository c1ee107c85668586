//! Real Envoy: its configuration rendered from `envoy/envoy.yaml`, its process, its administration
//! interface.

mod admin;
mod config;
mod process;
pub(crate) mod render;

pub use admin::Admin;
pub use config::{ClientTls, EnvoyConfig, FromClients, Guard, HostPort, ServiceAt, ToServer};
pub use process::Envoy;
