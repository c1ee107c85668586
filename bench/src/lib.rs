//! What the guard costs, beside what others cost on the same work. `make bench` runs it.
//!
//! Whatever is compared is measured in the same run, on the same inputs, in turns; figures of two
//! runs, or of two machines, say nothing about each other.

pub mod attack;
pub mod bars;
pub mod contestant;
pub mod figures;
pub mod growth;
pub mod held;
mod listening;
pub mod load;
pub mod machine;
pub mod options;
pub mod port53;
pub mod print;
pub mod report;
pub mod run;
pub mod stats;
pub mod usage;
pub mod wire;
