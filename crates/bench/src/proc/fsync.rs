//! Evidence that servers flush their disks while they acknowledge, seen from outside of them.
//!
//! Two independent observations, both from Linux itself and neither from anything the servers say:
//! - `/proc/PID/task/*/syscall` names the call that a thread is blocked in. Sampling it shows which processes wait in
//!   `fdatasync` or `fsync`, by process.
//! - `/proc/diskstats` counts the flush requests that a disk completed. It counts them exactly, but for all processes.
//!
//! That an acknowledgement *waits* for its flush, only a power cut shows; that is the crash tests' part.

use std::{
    collections::BTreeMap,
    fs,
    os::linux::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Call numbers of fsync, fdatasync.
#[cfg(target_arch = "x86_64")]
const FLUSHES: [&str; 2] = ["74", "75"];
#[cfg(target_arch = "aarch64")]
const FLUSHES: [&str; 2] = ["82", "83"];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const FLUSHES: [&str; 2] = ["", ""];

/// Samples of some processes.
#[derive(Debug)]
pub struct Sampler {
    seen: BTreeMap<u32, Process>,
    disk: Option<Disk>,
    started_flushes: Option<u64>,
}

#[derive(Debug, Default)]
struct Process {
    samples: u64,
    /// Samples that found a thread in a flush.
    flushing: u64,
    /// Threads seen in a flush: they alone are looked at most of the time, which costs less.
    flushers: Vec<PathBuf>,
}

/// All threads are looked at in every sample until one flushes, and then in every so manieth.
const FULL_SCAN_EVERY: u64 = 32;

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Percent of the samples that found the process in fsync or fdatasync, by process.
    pub flushing_percent: Vec<f64>,
    /// Flush requests that the disk completed meanwhile; absent where the disk does not count them.
    pub disk_flushes: Option<u64>,
}

impl Evidence {
    /// Every process was seen waiting for a flush, and the disk did not deny it.
    pub fn holds(&self) -> bool {
        !self.flushing_percent.is_empty()
            && self.flushing_percent.iter().all(|&percent| percent > 0.0)
            && self.disk_flushes != Some(0)
    }
}

impl Sampler {
    pub fn new(pids: &[u32], data_dir: &Path) -> Self {
        let disk = Disk::of(data_dir);
        let started_flushes = disk.as_ref().and_then(Disk::flushes);
        Self { seen: pids.iter().map(|&pid| (pid, Process::default())).collect(), disk, started_flushes }
    }

    /// Looks once at each process: some dozen small reads from /proc.
    pub fn sample(&mut self) {
        for (&pid, process) in &mut self.seen {
            process.samples += 1;
            if process.flushers.is_empty() || process.samples.is_multiple_of(FULL_SCAN_EVERY) {
                process.scan(pid);
            } else if process.flushers.iter().any(|path| flushes(path)) {
                process.flushing += 1;
            }
        }
    }

    pub fn evidence(&self) -> Evidence {
        let percent = |process: &Process| 100.0 * process.flushing as f64 / process.samples.max(1) as f64;
        let disk_flushes = self
            .disk
            .as_ref()
            .and_then(Disk::flushes)
            .zip(self.started_flushes)
            .map(|(now, started)| now.saturating_sub(started));
        Evidence { flushing_percent: self.seen.values().map(percent).collect(), disk_flushes }
    }
}

impl Process {
    fn scan(&mut self, pid: u32) {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return };
        let mut any = false;
        for task in tasks.flatten() {
            let path = task.path().join("syscall");
            if flushes(&path) {
                any = true;
                if !self.flushers.contains(&path) {
                    self.flushers.push(path);
                }
            }
        }
        self.flushing += u64::from(any);
    }
}

fn flushes(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|call| is_flush(&call))
}

/// The file holds the call's number and arguments, or `running`.
fn is_flush(call: &str) -> bool {
    call.split_whitespace().next().is_some_and(|number| FLUSHES.contains(&number))
}

/// The block device under a directory.
#[derive(Debug)]
struct Disk {
    major: u64,
    minor: u64,
}

impl Disk {
    fn of(dir: &Path) -> Option<Self> {
        let device = fs::metadata(dir).ok()?.st_dev();
        // The layout of `dev_t` in Linux's stat: 12 bits of major above 8 of minor, the rest of both above those.
        let major = (device >> 8) & 0xfff | (device >> 32) & !0xfff;
        let minor = device & 0xff | (device >> 12) & !0xff;
        Some(Self { major, minor }.whole())
    }

    /// The disk that a partition is on: the kernel counts flushes for whole disks only.
    fn whole(self) -> Self {
        let path = PathBuf::from(format!("/sys/dev/block/{}:{}", self.major, self.minor));
        if !path.join("partition").exists() {
            return self;
        }
        let parent = path.canonicalize().ok().and_then(|path| fs::read_to_string(path.parent()?.join("dev")).ok());
        let numbers = parent.as_deref().and_then(|dev| dev.trim().split_once(':'));
        match numbers.map(|(major, minor)| (major.parse(), minor.parse())) {
            Some((Ok(major), Ok(minor))) => Self { major, minor },
            _ => self,
        }
    }

    fn flushes(&self) -> Option<u64> {
        let stats = fs::read_to_string("/proc/diskstats").ok()?;
        stats.lines().find_map(|line| flushes_of(line, self.major, self.minor))
    }
}

/// Field 19 of the device's line; older kernels end before it.
fn flushes_of(line: &str, major: u64, minor: u64) -> Option<u64> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let ours = fields.first()?.parse() == Ok(major) && fields.get(1)?.parse() == Ok(minor);
    if ours { fields.get(18)?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_flush_is_told_from_other_calls() {
        let flush = FLUSHES[1];
        assert!(is_flush(&format!("{flush} 0x3 0x0 0x0 0x0 0x0 0x0 0x7ffe 0x7f30")));
        assert!(!is_flush("running") && !is_flush("232 0x3") && !is_flush(""));
    }

    #[test]
    fn flushes_are_the_nineteenth_field_of_the_device() {
        let line = " 254       0 vda 74206 10335 5501090 20615 24412 24102 4710896 23609 0 16736 49403 5023 91 1976800 2536 4126 2641";
        assert_eq!(flushes_of(line, 254, 0), Some(4_126));
        assert_eq!(flushes_of(line, 254, 1), None);
        assert_eq!(flushes_of("254 0 vda 1 2 3", 254, 0), None);
    }

    #[test]
    fn evidence_needs_every_process_and_no_denial() {
        let evidence = |percents: &[f64], disk_flushes| Evidence { flushing_percent: percents.to_vec(), disk_flushes };
        assert!(evidence(&[1.0, 2.0, 0.5], Some(10)).holds());
        assert!(evidence(&[1.0], None).holds());
        assert!(!evidence(&[1.0, 0.0, 0.5], Some(10)).holds());
        assert!(!evidence(&[1.0, 1.0], Some(0)).holds());
        assert!(!evidence(&[], Some(10)).holds());
    }

    #[test]
    fn a_process_that_sleeps_is_not_flushing() {
        let mut child = std::process::Command::new("sleep").arg("5").spawn().unwrap();
        let mut sampler = Sampler::new(&[child.id()], Path::new("/"));
        (0..5).for_each(|_| sampler.sample());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!sampler.evidence().holds());
    }
}
