//! By WebAssembly's vectors.
#![allow(unsafe_code)]

use core::arch::wasm32::{
    u8x16_bitmask, u8x16_eq, u8x16_splat, v128, v128_and, v128_any_true, v128_load, v128_or,
};

/// Octets of a vector.
const VECTOR: usize = 16;
/// Octets that are looked at before it is asked whether something was found.
const BLOCK: usize = 8 * VECTOR;
/// Vectors that are looked at closely before dots are looked for: where there is one, others are near.
const CLOSELY: usize = 4;

pub(crate) fn dotted_line(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        for _ in 0..CLOSELY {
            let (Some(octets), Some(next)) = (chunk(text, at), chunk(text, at + 1)) else {
                let rest = text.get(at..)?;
                let found = rest.windows(2).position(|pair| pair == b"\n.")?;
                return Some(at + found);
            };
            let found = dotted_lines(octets, next);
            if found != 0 {
                return Some(at + found.trailing_zeros() as usize);
            }
            at += VECTOR;
        }
        // Most of what is large is base64, which has no dots.
        while chunk(text, at + 1).is_some_and(|next| !has_dot(next)) {
            at += BLOCK;
        }
    }
}

fn chunk<const N: usize>(text: &[u8], at: usize) -> Option<&[u8; N]> {
    text.get(at..)?.first_chunk()
}

fn has_dot(octets: &[u8; BLOCK]) -> bool {
    let (octets, _) = octets.as_chunks();
    let mut found = u8x16_splat(0);
    for octets in octets {
        found = v128_or(found, u8x16_eq(load(octets), u8x16_splat(b'.')));
    }
    v128_any_true(found)
}

/// A bit for each octet is set where that is an LF before a dot; `next` are the octets behind each.
fn dotted_lines(octets: &[u8; VECTOR], next: &[u8; VECTOR]) -> u16 {
    let ends = u8x16_eq(load(octets), u8x16_splat(b'\n'));
    u8x16_bitmask(v128_and(ends, u8x16_eq(load(next), u8x16_splat(b'.'))))
}

fn load(octets: &[u8; VECTOR]) -> v128 {
    // SAFETY: it reads just these octets, and needs no alignment.
    unsafe { v128_load(octets.as_ptr().cast()) }
}
