//! Reading and writing the guest's memory from inside a hostcall.

use wasmtime::{AsContext, AsContextMut, Memory};

use super::{Answer, Fault, Host, Status};

fn memory(host: &Host<'_>) -> Answer<Memory> {
    host.data()
        .memory
        .ok_or(Fault::Status(Status::InvalidMemoryAccess))
}

/// A copy of `len` bytes at `ptr`.
pub(super) fn read(host: &Host<'_>, ptr: u32, len: u32) -> Answer<Vec<u8>> {
    let start = ptr as usize;
    memory(host)?
        .data(host.as_context())
        .get(start..start.saturating_add(len as usize))
        .map(<[u8]>::to_vec)
        .ok_or(Fault::Status(Status::InvalidMemoryAccess))
}

/// As [`read`], as text; bytes that are not UTF-8 are replaced.
pub(super) fn read_text(host: &Host<'_>, ptr: u32, len: u32) -> Answer<String> {
    read(host, ptr, len).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Copies `bytes` to `ptr`.
pub(super) fn write(host: &mut Host<'_>, ptr: u32, bytes: &[u8]) -> Answer {
    memory(host)?
        .write(host.as_context_mut(), ptr as usize, bytes)
        .map_err(|_| Fault::Status(Status::InvalidMemoryAccess))
}

/// Stores a little-endian word at `ptr`.
pub(super) fn write_u32(host: &mut Host<'_>, ptr: u32, value: u32) -> Answer {
    write(host, ptr, &value.to_le_bytes())
}

/// Gives `bytes` to the guest in memory the guest allocates, and stores where
/// and how many. Nothing is allocated for no bytes: the pointer is then null.
pub(super) fn hand_over(host: &mut Host<'_>, bytes: &[u8], ptr_at: u32, size_at: u32) -> Answer {
    hand_over_at(host, bytes, ptr_at)?;
    write_u32(host, size_at, size(bytes)?)
}

/// As [`hand_over`], to who does not ask how many.
pub(super) fn hand_over_at(host: &mut Host<'_>, bytes: &[u8], ptr_at: u32) -> Answer {
    let size = size(bytes)?;
    let ptr = if size == 0 { 0 } else { allocate(host, size)? };
    write(host, ptr, bytes)?;
    write_u32(host, ptr_at, ptr)
}

/// How many bytes these are, as the guest counts.
pub(super) fn size(bytes: &[u8]) -> Answer<u32> {
    u32::try_from(bytes.len()).map_err(|_| Status::InvalidMemoryAccess.into())
}

fn allocate(host: &mut Host<'_>, size: u32) -> Answer<u32> {
    let allocate = host
        .data()
        .allocate
        .clone()
        .ok_or(Fault::Status(Status::InvalidMemoryAccess))?;
    match allocate.call(host.as_context_mut(), size) {
        Ok(0) => Err(Status::InvalidMemoryAccess.into()),
        Ok(ptr) => Ok(ptr),
        Err(trap) => Err(Fault::Trap(trap)),
    }
}
