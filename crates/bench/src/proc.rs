//! What Linux tells of processes: CPU time, and whether they wait for their disk.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result};

pub mod fsync;
pub mod waiting;

/// Ticks of `utime` and `stime` per second: `USER_HZ`, part of the kernel's interface to user space.
const TICKS_PER_SECOND: u64 = 100;

/// CPU time that a process has used, in user and kernel mode, by all of its threads.
pub fn cpu_us(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    cpu_ticks(&stat)
        .map(|ticks| ticks * (1_000_000 / TICKS_PER_SECOND))
        .with_context(|| format!("cannot read the CPU time of process {pid} from {stat:?}"))
}

/// Fields 14 and 15. The second field, the command, may contain anything and ends with the last parenthesis.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// Largest resident set so far.
pub fn peak_rss_bytes(pid: u32) -> Option<u64> {
    status_bytes(pid, "VmHWM:")
}

/// Resident set now.
pub fn rss_bytes(pid: u32) -> Option<u64> {
    status_bytes(pid, "VmRSS:")
}

fn status_bytes(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix(field))?.trim().strip_suffix("kB")?.trim();
    kib.parse::<u64>().ok().map(|kib| kib << 10)
}

/// The type of the file system that holds a directory, as `/proc/mounts` names it.
pub fn file_system(dir: &std::path::Path) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let by_path: BTreeMap<&str, &str> = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(path, _)| dir.starts_with(path))
        .collect();
    by_path.iter().max_by_key(|(path, _)| path.len()).map(|(_, kind)| (*kind).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 100 0 0 0 123 45 0 0 20 0 9 0 100 1 1 1";
        assert_eq!(cpu_ticks(stat), Some(168));
        assert_eq!(cpu_ticks("7 (cut"), None);
    }

    #[test]
    fn own_figures_can_be_read() {
        let own = std::process::id();
        assert!(cpu_us(own).is_ok());
        assert!(peak_rss_bytes(own).unwrap() > 1 << 20);
        assert!(file_system(std::path::Path::new("/")).is_some());
        assert!(cpu_us(u32::MAX).is_err());
    }
}
