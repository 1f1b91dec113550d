//! Whose data directory this is: `data_dir/identity`, a small text file that a person can read.
//!
//! A node that runs on another node's or another cluster's data would vote twice, or in the wrong cluster. So the file is
//! written before anything else, and checked before anything is opened.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    dir_lock,
    disk::{self, Disk, RealDisk},
    error::OpenError,
    error::StoreError,
};

/// The layout of the data directory as a whole.
const FORMAT: u32 = 1;
pub(crate) const FILE: &str = "identity";
/// Begins the last line, a CRC-32 of those before it. A file without one is as good.
const CHECK: &str = "check = ";

/// Who a data directory belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The operator's name for the cluster.
    pub cluster: String,
    /// Drawn when the cluster was formed; 0 on a node that is not yet part of one.
    pub cluster_id: u64,
    pub node: u64,
    /// The id that the node had in its first life, and that its config may still name. One that lost its data comes back
    /// under a new id; until then it is the same as `node`.
    pub first: u64,
}

impl Identity {
    /// Of a node in its first life.
    pub fn new(cluster: &str, cluster_id: u64, node: u64) -> Self {
        Self { cluster: cluster.to_owned(), cluster_id, node, first: node }
    }

    /// Of the same node in its next life.
    pub fn reborn(&self, node: u64) -> Self {
        Self { node, ..self.clone() }
    }

    pub fn is_reborn(&self) -> bool {
        self.first != self.node
    }
}

impl Identity {
    /// Reads the identity of `dir`, where it has one. For those who want to know before they open anything.
    pub fn read(dir: &Path) -> Result<Option<Self>, OpenError> {
        Self::read_on(&RealDisk, dir)
    }

    fn read_on(on: &dyn Disk, dir: &Path) -> Result<Option<Self>, OpenError> {
        match disk::read_text(on, &dir.join(FILE)) {
            Ok(text) => Self::parse(&text).map(Some).map_err(|why| unusable(dir, why)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(dir, format!("{FILE}: {error}"))),
        }
    }

    /// Reads the identity of `dir`, or gives it the one wanted where it has none.
    pub(crate) fn open(on: &dyn Disk, dir: &Path, cluster: &str, node: u64) -> Result<Self, OpenError> {
        let Some(found) = Self::read_on(on, dir)? else { return Self::create(on, dir, cluster, node) };
        if found.node != node && found.first != node {
            return Err(OpenError::OtherNode { dir: dir.to_owned(), found: found.node, want: node });
        }
        if found.cluster != cluster {
            let want = cluster.to_owned();
            return Err(OpenError::OtherCluster { dir: dir.to_owned(), found: found.cluster, want });
        }
        Ok(found)
    }

    fn create(on: &dyn Disk, dir: &Path, cluster: &str, node: u64) -> Result<Self, OpenError> {
        if on.exists(&dir.join("db")) {
            return Err(unusable(dir, format!("it holds a database but no {FILE} file")));
        }
        let entries = on.list(dir).map_err(|error| unusable(dir, error.to_string()))?;
        let names = entries.iter().filter_map(|path| path.file_name()?.to_str());
        // A crash may have left a half-written identity; a file system of its own has a folder for lost files.
        let mut others =
            names.filter(|name| !name.starts_with(FILE) && *name != dir_lock::FILE && *name != "lost+found");
        if let Some(other) = others.next() {
            let why =
                format!("it is not empty (it holds {other:?}) and has no {FILE} file: a new node needs an empty one");
            return Err(unusable(dir, why));
        }
        let identity = Self::new(cluster, 0, node);
        identity.save(on, dir).map_err(|error| unusable(dir, error.to_string()))?;
        Ok(identity)
    }

    /// Writes the identity; durable when it returns.
    pub(crate) fn save(&self, on: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
        self.save_as(on, &dir.join(FILE))
    }

    pub(crate) fn save_as(&self, on: &dyn Disk, path: &Path) -> Result<(), StoreError> {
        let Self { cluster, cluster_id, node, first } = self;
        let mut text =
            format!("format = {FORMAT}\nnode = {node}\ncluster_id = {cluster_id:016x}\ncluster = {cluster}\n");
        if self.is_reborn() {
            text += &format!("first_node = {first}\n");
        }
        text += &format!("{CHECK}{:08x}\n", crc32fast::hash(text.as_bytes()));
        disk::replace(on, path, text.as_bytes())
    }

    fn parse(text: &str) -> Result<Self, String> {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='));
            line.map(str::trim).ok_or_else(|| format!("{FILE}: there is no line `{name} = ..`"))
        };
        // Another version may check itself in another way.
        let format = field("format")?;
        match format.parse::<u32>() {
            Ok(FORMAT) => {}
            Ok(newer) if newer > FORMAT => {
                return Err(format!(
                    "its format is {newer}, this program knows {FORMAT}: start the newer version of gantry"
                ));
            }
            _ => {
                return Err(format!(
                    "its format is {format}, which no version of gantry wrote: restore {FILE} from the machine's own copy, or \
                     give the node an empty directory and a new id"
                ));
            }
        }
        if let Some((content, check)) = text.rsplit_once(CHECK)
            && check.trim() != format!("{:08x}", crc32fast::hash(content.as_bytes()))
        {
            return Err(format!(
                "{FILE} is damaged, its checksum is wrong: restore it from the machine's own copy, or give the node an empty \
                 directory and a new id"
            ));
        }
        let number = |name: &str| field(name)?.parse().map_err(|_| format!("{FILE}: {name} is not a number"));
        let node = number("node")?;
        let first = if text.contains("\nfirst_node") { number("first_node")? } else { node };
        Ok(Self {
            node,
            first,
            cluster_id: u64::from_str_radix(field("cluster_id")?, 16)
                .map_err(|_| format!("{FILE}: cluster_id is not hexadecimal"))?,
            cluster: field("cluster ")?.to_owned(),
        })
    }
}

fn unusable(dir: &Path, why: String) -> OpenError {
    OpenError::Unusable { dir: PathBuf::from(dir), why }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_directory_keeps_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let mut identity = Identity::open(&RealDisk, dir.path(), "north", 3).unwrap();
        identity.cluster_id = 0xfeed;
        identity.save(&RealDisk, dir.path()).unwrap();
        assert_eq!(Identity::open(&RealDisk, dir.path(), "north", 3).unwrap(), identity);
        assert!(matches!(
            Identity::open(&RealDisk, dir.path(), "north", 4),
            Err(OpenError::OtherNode { found: 3, want: 4, .. })
        ));
        assert!(matches!(Identity::open(&RealDisk, dir.path(), "south", 3), Err(OpenError::OtherCluster { .. })));
    }

    #[test]
    fn a_node_in_its_next_life_is_known_by_the_id_of_its_first() {
        let dir = tempfile::tempdir().unwrap();
        let reborn = Identity::new("north", 7, 3).reborn(104);
        reborn.save(&RealDisk, dir.path()).unwrap();
        for id in [3, 104] {
            assert_eq!(Identity::open(&RealDisk, dir.path(), "north", id).unwrap(), reborn);
        }
        assert!(Identity::open(&RealDisk, dir.path(), "north", 4).is_err());
    }

    #[test]
    fn a_flipped_bit_makes_nobody_else_of_a_node() {
        let dir = tempfile::tempdir().unwrap();
        let (path, reborn) = (dir.path().join(FILE), Identity::new("north", 0xfeed, 3).reborn(104));
        reborn.save(&RealDisk, dir.path()).unwrap();
        let text = fs::read(&path).unwrap();
        for bit in 0..text.len() * 8 {
            let mut damaged = text.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, damaged).unwrap();
            match Identity::read(dir.path()) {
                Ok(read) => assert_eq!(read, Some(reborn.clone()), "bit {bit}"),
                Err(error) => assert!(!error.is_lost_data(), "whose data it would be is not known: {error}"),
            }
        }
        let (content, _) = std::str::from_utf8(&text).unwrap().rsplit_once(CHECK).unwrap();
        fs::write(&path, content).unwrap();
        assert_eq!(Identity::read(dir.path()).unwrap(), Some(reborn), "as it was written before it had a check");
    }

    #[test]
    fn another_format_or_a_lost_identity_is_refused_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "format = 2\n").unwrap();
        let line = Identity::open(&RealDisk, dir.path(), "north", 3).unwrap_err().to_string();
        assert!(line.contains("format is 2") && !line.contains('\n'), "{line}");
        fs::remove_file(dir.path().join(FILE)).unwrap();
        fs::write(dir.path().join("notes.txt"), "mine").unwrap();
        let line = Identity::open(&RealDisk, dir.path(), "north", 3).unwrap_err().to_string();
        assert!(line.contains("not empty") && line.contains("notes.txt") && !line.contains('\n'), "{line}");
        fs::create_dir(dir.path().join("db")).unwrap();
        assert!(
            Identity::open(&RealDisk, dir.path(), "north", 3).unwrap_err().to_string().contains("no identity file")
        );
    }
}
