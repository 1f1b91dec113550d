//! The snapshot file: frames, each the length of a protobuf message (4 bytes little-endian), its CRC-32 (4 bytes
//! little-endian), and the message, a [`Frame`]. The first frame is the header, the last the footer, between them the rows
//! in canonical order, encoded as in the database.

use std::{
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use prost::Message;

use crate::{
    LogPos, Membership,
    disk::{Disk, Opening, Sequential},
    error::StoreError,
    state::StateHasher,
};

const FORMAT: u32 = 1;
/// Rows of about this many bytes go into one frame.
const FRAME_BYTES: usize = 256 << 10;
/// Given to the disk at once, while more is written.
const PASSED_BYTES: u64 = 1 << 20;
/// No frame is larger: a row is at most a few megabytes. Checked before memory is taken for one.
const FRAME_LIMIT_BYTES: usize = 64 << 20;

#[derive(Clone, PartialEq, Message)]
struct Frame {
    #[prost(oneof = "Content", tags = "1, 2, 3")]
    content: Option<Content>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Content {
    #[prost(message, tag = "1")]
    Header(Header),
    #[prost(message, tag = "2")]
    Rows(Rows),
    #[prost(message, tag = "3")]
    Footer(Footer),
}

/// What the snapshot is of.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Header {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(message, optional, tag = "2")]
    pub(super) position: Option<LogPos>,
    #[prost(message, optional, tag = "3")]
    pub(super) membership: Option<Membership>,
}

impl Header {
    pub(super) fn new(position: Option<LogPos>, membership: Membership) -> Self {
        Self { format: FORMAT, position, membership: Some(membership) }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Rows {
    #[prost(message, repeated, tag = "1")]
    pub(super) rows: Vec<EncodedRow>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct EncodedRow {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) value: Bytes,
}

/// What must come out.
#[derive(Clone, PartialEq, Message)]
struct Footer {
    #[prost(uint64, tag = "1")]
    rows: u64,
    /// 16 bytes big-endian.
    #[prost(bytes = "vec", tag = "2")]
    state_hash: Vec<u8>,
}

pub(super) struct Writer {
    path: PathBuf,
    file: BufWriter<Sequential>,
    rows: Rows,
    pending_bytes: usize,
    written: u64,
    hasher: StateHasher,
    /// Up to where the file was given to the disk.
    passed: u64,
}

impl Writer {
    pub(super) fn create(disk: &dyn Disk, path: &Path, header: Header) -> Result<Self, StoreError> {
        let file = disk.open(path, Opening::Emptied).map_err(StoreError::io("create", path))?;
        let mut writer = Self {
            path: path.to_owned(),
            file: BufWriter::new(Sequential { file, at: 0 }),
            rows: Rows::default(),
            pending_bytes: 0,
            written: 0,
            hasher: StateHasher::default(),
            passed: 0,
        };
        writer.frame(Content::Header(header))?;
        Ok(writer)
    }

    pub(super) fn row(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.hasher.encoded(key, value);
        self.rows.rows.push(EncodedRow { key: Bytes::copy_from_slice(key), value: Bytes::copy_from_slice(value) });
        self.written += 1;
        self.pending_bytes += key.len() + value.len();
        if self.pending_bytes >= FRAME_BYTES { self.flush_rows() } else { Ok(()) }
    }

    fn flush_rows(&mut self) -> Result<(), StoreError> {
        self.pending_bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        if rows.rows.is_empty() { Ok(()) } else { self.frame(Content::Rows(rows)) }
    }

    fn frame(&mut self, content: Content) -> Result<(), StoreError> {
        let message = Frame { content: Some(content) }.encode_to_vec();
        let length = u32::try_from(message.len()).ok().filter(|_| message.len() <= FRAME_LIMIT_BYTES);
        let length = length.ok_or_else(|| StoreError::damaged("a row", format!("it has {} bytes", message.len())))?;
        let mut write = || -> io::Result<()> {
            self.file.write_all(&length.to_le_bytes())?;
            self.file.write_all(&crc32fast::hash(&message).to_le_bytes())?;
            self.file.write_all(&message)
        };
        write().map_err(StoreError::io("write snapshot", &self.path))?;
        let Sequential { file, at } = self.file.get_ref();
        if *at >= self.passed + PASSED_BYTES {
            file.passed(self.passed..*at);
            self.passed = *at;
        }
        Ok(())
    }

    pub(super) fn written_bytes(&self) -> u64 {
        self.file.get_ref().at
    }

    /// Writes the footer and makes the file durable.
    pub(super) fn finish(mut self) -> Result<(), StoreError> {
        self.flush_rows()?;
        let state_hash = self.hasher.finish().to_be_bytes().to_vec();
        self.frame(Content::Footer(Footer { rows: self.written, state_hash }))?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error);
        file.and_then(|written| written.file.sync()).map_err(StoreError::io("sync snapshot", &self.path))
    }
}

/// Reads frame by frame, checking each, and at the end the number of rows and their hash.
pub(super) struct Reader {
    path: PathBuf,
    file: BufReader<Sequential>,
    rows: u64,
    hasher: StateHasher,
}

impl Reader {
    pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<Self, StoreError> {
        Self::open_at(disk, path, 0)
    }

    /// Of a snapshot that begins in the middle of a file.
    pub(super) fn open_at(disk: &dyn Disk, path: &Path, offset: u64) -> Result<Self, StoreError> {
        let file = disk.open(path, Opening::Existing).map_err(StoreError::io("open snapshot", path))?;
        let file = BufReader::new(Sequential { file, at: offset });
        Ok(Self { path: path.to_owned(), file, rows: 0, hasher: StateHasher::default() })
    }

    /// The header. To be called first, once.
    pub(super) fn header(&mut self) -> Result<Header, StoreError> {
        let Content::Header(header) = self.frame()? else {
            return Err(self.damaged("it does not begin with a header"));
        };
        if header.format != FORMAT {
            let what = format!("snapshot {}", self.path.display());
            return Err(StoreError::Version { what, found: header.format, known: FORMAT });
        }
        Ok(header)
    }

    /// The next rows, or nothing after the last, once the footer has confirmed them all.
    pub(super) fn rows(&mut self) -> Result<Option<Vec<EncodedRow>>, StoreError> {
        match self.frame()? {
            Content::Header(_) => Err(self.damaged("it has a second header")),
            Content::Rows(rows) => {
                rows.rows.iter().for_each(|row| self.hasher.encoded(&row.key, &row.value));
                self.rows += rows.rows.len() as u64;
                Ok(Some(rows.rows))
            }
            Content::Footer(footer) => {
                let hash = self.hasher.finish().to_be_bytes();
                if footer.rows != self.rows || footer.state_hash != hash {
                    return Err(self.damaged("its rows are not those that its footer counts and hashes"));
                }
                Ok(None)
            }
        }
    }

    /// All rows one by one, each with its key and its value; once they end the footer has confirmed them. Nothing is to be read
    /// after an error.
    pub(super) fn all_rows(&mut self) -> impl Iterator<Item = Result<(Bytes, Bytes), StoreError>> {
        let mut part = Vec::new().into_iter();
        std::iter::from_fn(move || {
            loop {
                if let Some(EncodedRow { key, value }) = part.next() {
                    return Some(Ok((key, value)));
                }
                match self.rows() {
                    Ok(Some(rows)) => part = rows.into_iter(),
                    Ok(None) => return None,
                    Err(error) => return Some(Err(error)),
                }
            }
        })
    }

    /// Of the rows read so far; of the state once all of them are.
    pub(super) fn hash(&self) -> u128 {
        self.hasher.finish()
    }

    fn frame(&mut self) -> Result<Content, StoreError> {
        let mut head = [0_u8; 8];
        self.file.read_exact(&mut head).map_err(|error| self.damaged(&format!("it ends early: {error}")))?;
        let [a, b, c, d, crc @ ..] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > FRAME_LIMIT_BYTES {
            return Err(self.damaged(&format!("it has a frame of {length} bytes")));
        }
        let mut message = vec![0; length];
        self.file.read_exact(&mut message).map_err(|error| self.damaged(&format!("it ends early: {error}")))?;
        if crc32fast::hash(&message) != u32::from_le_bytes(crc) {
            return Err(self.damaged("a frame's checksum is wrong"));
        }
        let frame = Frame::decode(Bytes::from(message)).map_err(|error| self.damaged(&error.to_string()))?;
        frame.content.ok_or_else(|| self.damaged("a frame is empty"))
    }

    fn damaged(&self, why: &str) -> StoreError {
        StoreError::damaged(format!("snapshot {}", self.path.display()), why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    fn write(path: &Path) {
        let header = Header::new(Some(LogPos::new(1, 2, 3)), Membership::default());
        let mut writer = Writer::create(&RealDisk, path, header).unwrap();
        for index in 0..4_u8 {
            writer.row(&[index], &vec![index; FRAME_BYTES / 2]).unwrap();
        }
        writer.finish().unwrap();
    }

    fn read(path: &Path) -> Result<usize, StoreError> {
        let mut reader = Reader::open(&RealDisk, path)?;
        reader.header()?;
        let mut rows = 0;
        while let Some(more) = reader.rows()? {
            rows += more.len();
        }
        Ok(rows)
    }

    #[test]
    fn any_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write(&path);
        assert_eq!(read(&path).unwrap(), 4);
        let whole = std::fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(1_009) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, damaged).unwrap();
            assert!(read(&path).is_err(), "byte {at}");
        }
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(read(&path).is_err(), "cut short");
    }
}
