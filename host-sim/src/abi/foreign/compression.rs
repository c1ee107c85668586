//! `compress` and `uncompress`: a zlib stream (RFC 1950).

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use super::Status;

/// What a result may hold: Envoy has no such limit, and a filter that is handed over
/// more than fits its memory is none to test.
const LARGEST: u64 = 256 * 1024 * 1024;

pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing into a vector cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

/// # Errors
/// `SerializationFailure` for what is no whole stream.
pub(super) fn uncompress(bytes: &[u8]) -> Result<Vec<u8>, Status> {
    let mut result = Vec::new();
    let read = ZlibDecoder::new(bytes)
        .take(LARGEST + 1)
        .read_to_end(&mut result);
    match read {
        Ok(size) if size as u64 <= LARGEST => Ok(result),
        Ok(_) | Err(_) => Err(Status::SerializationFailure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_compressed_comes_back_and_what_was_cut_does_not() {
        let bytes = b"hello hello hello".repeat(20);
        let small = compress(&bytes);
        assert!(small.len() < bytes.len() / 4);
        assert_eq!(uncompress(&small), Ok(bytes));
        for cut in [0, 1, small.len() / 2, small.len() - 1] {
            assert_eq!(
                uncompress(&small[..cut]),
                Err(Status::SerializationFailure),
                "{cut}"
            );
        }
    }
}
