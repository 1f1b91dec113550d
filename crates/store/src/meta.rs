//! Meta records: a format version byte, the record's protobuf, and the CRC-32 of both, 4 bytes little-endian.

use prost::Message;

use crate::error::StoreError;

const FORMAT: u8 = 1;

pub(crate) fn encode<M: Message>(record: &M) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    record.encode(&mut bytes).expect("a vector grows as needed");
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

pub(crate) fn decode<M: Message + Default>(key: &[u8], bytes: &[u8]) -> Result<M, StoreError> {
    let what = || format!("meta record {:?}", String::from_utf8_lossy(key));
    let damaged = |why: &str| StoreError::damaged(what(), why);
    let (covered, crc) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged("it is too short"))?;
    if crc32fast::hash(covered) != u32::from_le_bytes(*crc) {
        return Err(damaged("its checksum is wrong"));
    }
    let (format, body) = covered.split_first().ok_or_else(|| damaged("it is empty"))?;
    if *format != FORMAT {
        return Err(StoreError::Version { what: what(), found: u32::from(*format), known: u32::from(FORMAT) });
    }
    M::decode(body).map_err(|error| damaged(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogPos;

    #[test]
    fn a_changed_record_is_noticed() {
        let pos = LogPos::new(1, 2, 3);
        let mut bytes = encode(&pos);
        assert_eq!(decode::<LogPos>(b"purged", &bytes).unwrap(), pos);
        bytes[2] ^= 1;
        assert!(decode::<LogPos>(b"purged", &bytes).unwrap_err().to_string().contains("meta record \"purged\""));
    }
}
