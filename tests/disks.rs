//! A small ext4 file system for each node, on a file: its power can be cut, and it can be filled, for real.
//!
//! Needs root, loop devices, `mkfs.ext4` and `mount`. Where they are missing a test says so and is skipped; not so where `CI`
//! is set.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use gantry_bench::cluster::{Cluster, shim};
use tempfile::TempDir;

const CUT: &str = include_str!("disks/cut.c");
const MIB: u64 = 1 << 20;
/// What somebody else has on a disk.
const FOREIGN: &str = "foreign";

/// One for each node, by id from 1. To be dropped after the cluster that uses them.
pub struct Disks {
    disks: Vec<Disk>,
    cut: PathBuf,
    /// After the disks: they are unmounted first.
    _dir: TempDir,
}

impl Disks {
    /// Nothing where this machine cannot have them.
    pub fn new(count: u64, mib: u64) -> Option<Self> {
        match Self::create(count, mib) {
            Ok(disks) => Some(disks),
            Err(why) if env::var_os("CI").is_none() => {
                eprintln!("SKIPPED: no file systems of its own on this machine: {why:#}");
                None
            }
            Err(why) => panic!("this test needs root and loop devices, and must not be skipped here: {why:#}"),
        }
    }

    fn create(count: u64, mib: u64) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("disks-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let cut = dir.path().join("cut");
        shim::compile(CUT, &cut, &[])?;
        let disks = (1..=count).map(|id| Disk::create(dir.path(), id, mib)).collect::<Result<_>>()?;
        Ok(Self { disks, cut, _dir: dir })
    }

    /// Has the nodes of a cluster that was not started yet keep their data here.
    pub fn give_to(&self, cluster: &mut Cluster) {
        for (id, disk) in (1..).zip(&self.disks) {
            cluster.keep_data_in(id, &disk.at).expect("the node has a configuration");
        }
    }

    pub fn at(&self, id: u64) -> &Path {
        &self.disk(id).at
    }

    /// What these nodes wrote and did not sync is gone. Their processes must be gone before: a sync that is under way while a
    /// file system is shut down may be told that it is done though it never will be (seen in 9 of 150 tries of a program that
    /// only writes and syncs), and a real cut leaves nobody who could hear that.
    pub fn cut(&self, ids: &[u64]) {
        let paths = ids.iter().map(|id| self.at(*id));
        run(Command::new(&self.cut).args(paths)).expect("an ext4 file system can be shut down");
    }

    /// After a cut, and after the node was killed.
    pub fn return_power(&self, id: u64) {
        let disk = self.disk(id);
        disk.unmount().and_then(|()| disk.mount()).expect("a journal is replayed when it is mounted");
    }

    /// Somebody else takes all the room but so much.
    pub fn fill(&self, id: u64, left_mib: u64) {
        let disk = self.disk(id);
        let file = disk.at.join(FOREIGN);
        let free = run(Command::new("df").args(["--output=avail", "--block-size=1"]).arg(&disk.at));
        let free = free.expect("df tells what is free");
        let free: u64 = free.lines().last().and_then(|line| line.trim().parse().ok()).expect("df prints a number");
        let has = fs::metadata(&file).map_or(0, |file| file.len());
        let Some(more) = free.checked_sub(left_mib * MIB) else { return };
        // To the last block: what is asked for beyond that fails, and takes all that there is.
        let want = if left_mib == 0 { more + MIB } else { more };
        let range = ["--offset".to_owned(), has.to_string(), "--length".to_owned(), want.to_string()];
        let filled = run(Command::new("fallocate").args(range).arg(&file));
        assert!(filled.is_ok() || left_mib == 0, "{filled:?}");
    }

    /// There is room again.
    pub fn empty(&self, id: u64) {
        fs::remove_file(self.disk(id).at.join(FOREIGN)).expect("the disk was filled");
    }

    fn disk(&self, id: u64) -> &Disk {
        &self.disks[id as usize - 1]
    }
}

struct Disk {
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    fn create(dir: &Path, id: u64, mib: u64) -> Result<Self> {
        let (image, at) = (dir.join(format!("disk-{id}.img")), dir.join(format!("disk-{id}")));
        fs::create_dir(&at)?;
        fs::File::create(&image)?.set_len(mib * MIB)?;
        // Nothing is kept back for root: the servers may run as root, and full is to be full.
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0", "-E", "nodiscard"]).arg(&image))?;
        let disk = Self { image, at };
        disk.mount()?;
        fs::remove_dir(disk.at.join("lost+found"))?;
        Ok(disk)
    }

    fn mount(&self) -> Result<()> {
        run(Command::new("mount").args(["-o", "loop,noatime"]).arg(&self.image).arg(&self.at)).map(drop)
    }

    fn unmount(&self) -> Result<()> {
        run(Command::new("umount").arg(&self.at)).map(drop)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily where somebody still uses it: the loop device goes with its last user.
        if self.unmount().is_err()
            && let Err(error) = run(Command::new("umount").arg("--lazy").arg(&self.at))
        {
            eprintln!("{error:#}");
        }
    }
}

/// What it prints.
fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
