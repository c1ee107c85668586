//! The manifests of `envoy/kubernetes`: the files that are generated for them, and what `kubectl`
//! makes of them, checked and run without a cluster.

mod balancer;
mod container;
mod generate;
mod manifests;
mod replica;

pub use balancer::Balancer;
pub use container::Container;
pub use generate::{Generated, generate};
pub use manifests::Manifests;
pub use replica::{Replica, Services};
