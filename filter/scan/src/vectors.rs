//! By WebAssembly's vectors.
#![allow(unsafe_code)]

use core::arch::wasm32::{
    i8x16_bitmask, u8x16_eq, u8x16_splat, v128, v128_and, v128_any_true, v128_load, v128_or,
};

/// Octets of a vector.
const VECTOR: usize = 16;
/// Octets that are looked at before it is asked whether something was found.
const BLOCK: usize = 4 * VECTOR;

pub(crate) fn dotted_line(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let (Some(octets), Some(next)) = (chunk(text, at), chunk(text, at + 1))
        && !has_dotted_line(octets, next)
    {
        at += BLOCK;
    }
    while let (Some(octets), Some(next)) = (chunk(text, at), chunk(text, at + 1)) {
        let found = i8x16_bitmask(dotted_lines(octets, next));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize);
        }
        at += VECTOR;
    }
    let rest = text.get(at..)?;
    let found = rest.windows(2).position(|pair| pair == b"\n.")?;
    Some(at + found)
}

fn chunk<const N: usize>(text: &[u8], at: usize) -> Option<&[u8; N]> {
    text.get(at..)?.first_chunk()
}

/// `next` are the octets behind each of `octets`.
fn has_dotted_line(octets: &[u8; BLOCK], next: &[u8; BLOCK]) -> bool {
    let (octets, _) = octets.as_chunks();
    let (next, _) = next.as_chunks();
    let mut found = u8x16_splat(0);
    for (octets, next) in octets.iter().zip(next) {
        found = v128_or(found, dotted_lines(octets, next));
    }
    v128_any_true(found)
}

/// All bits of an octet are set where it is an LF before a dot.
fn dotted_lines(octets: &[u8; VECTOR], next: &[u8; VECTOR]) -> v128 {
    let ends = u8x16_eq(load(octets), u8x16_splat(b'\n'));
    v128_and(ends, u8x16_eq(load(next), u8x16_splat(b'.')))
}

fn load(octets: &[u8; VECTOR]) -> v128 {
    // SAFETY: it reads just these octets, and needs no alignment.
    unsafe { v128_load(octets.as_ptr().cast()) }
}
