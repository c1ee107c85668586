//! What a host answers to a hostcall.

/// The status codes of proxy-wasm ABI 0.2.1 that this host gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Status {
    /// Done.
    Ok = 0,
    /// No such key, property, queue or function.
    NotFound = 1,
    /// An argument out of range, or an object that is not there now.
    BadArgument = 2,
    /// What was given or found has no bytes to stand for it.
    SerializationFailure = 3,
    /// The arguments could not be decoded.
    ParseFailure = 4,
    /// A pointer outside the guest's memory.
    InvalidMemoryAccess = 6,
    /// The queue holds nothing.
    Empty = 7,
    /// Somebody else changed the shared value first.
    CasMismatch = 8,
    /// The host could not do it: a cluster without hosts.
    InternalFailure = 10,
    /// Envoy does not implement the call.
    Unimplemented = 12,
}
