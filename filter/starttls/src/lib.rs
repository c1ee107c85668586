//! Switches a connection to TLS inside Envoy when the guard asks for it.
//!
//! A proxy-wasm filter cannot change a connection's transport; a native module can. This one does
//! that and nothing else: it reads no byte of either side. The guard offers STARTTLS, answers it and
//! forgets what was said before; what the two tell each other, and who holds which bytes, is in
//! `LIFECYCLE.md` beside this crate's sources.

#[cfg(panic = "abort")]
compile_error!(
    "a panic must not take Envoy along, so it has to unwind up to the hooks; build this crate with \
     `make starttls` (cargo's profile `native`)"
);

mod abi;
mod hooks;
mod switch;
