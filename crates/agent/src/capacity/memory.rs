//! How much memory there is.

use std::{fs, io};

const MEMINFO: &str = "/proc/meminfo";
const CGROUP: &str = "/proc/self/cgroup";
/// Version 2 of control groups, as every current distribution mounts it.
const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// The machine's memory, or the limit of this process' control group where that is less.
pub(super) fn bytes() -> io::Result<u64> {
    let machine = total(&fs::read_to_string(MEMINFO)?)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{MEMINFO} has no MemTotal")))?;
    let group = fs::read_to_string(CGROUP).ok().and_then(|text| unified(&text).map(str::to_owned));
    Ok(group.and_then(|group| limit(&group)).map_or(machine, |limit| machine.min(limit)))
}

/// `MemTotal:       24567890 kB`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

/// The path of the control group, from a line as `0::/system.slice/gantry.service`.
fn unified(cgroups: &str) -> Option<&str> {
    cgroups.lines().find_map(|line| line.strip_prefix("0::"))
}

/// The smallest limit of a group and those that it is in; a file without a number says that there is none.
fn limit(group: &str) -> Option<u64> {
    let mut smallest: Option<u64> = None;
    let mut path = group.trim_end_matches('/');
    loop {
        let file = format!("{CGROUP_ROOT}{path}/memory.max");
        let here = fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<u64>().ok());
        smallest = smallest.into_iter().chain(here).min();
        let Some((above, _)) = path.rsplit_once('/') else { return smallest };
        path = above;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read_in_kibibytes() {
        assert_eq!(total("MemTotal:       1024 kB\nMemFree: 3 kB\n"), Some(1 << 20));
        assert_eq!(total("MemFree: 3 kB\n"), None);
        assert_eq!(total("MemTotal: many kB\n"), None);
    }

    #[test]
    fn the_group_is_the_one_of_version_2() {
        assert_eq!(unified("11:memory:/old\n0::/system.slice/gantry.service\n"), Some("/system.slice/gantry.service"));
        assert_eq!(unified("11:memory:/old\n"), None);
    }
}
