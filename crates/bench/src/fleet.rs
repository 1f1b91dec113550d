//! The simulated fleet: the public openb cluster's shape, a node list of that trace, or equal hosts for load tests.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use gantry_proto::v1;
use gantry_types::limits;

const BUILT_IN: &str = include_str!("../data/openb-shapes.csv");
/// Regions with their weight in tenths, and the zones of each. The trace has neither: these are ours.
const REGIONS: [(&str, usize); 4] = [("iad", 4), ("fra", 3), ("nrt", 2), ("syd", 1)];
const ZONES: usize = 3;
const GB: u64 = 1_000_000_000;
/// Disk for images. The trace has no disks: these figures are ours, 300 GB for a host of eight GPUs.
const CACHE_BASE_BYTES: u64 = 100 * GB;
const CACHE_GPU_BYTES: u64 = 25 * GB;

/// One simulated host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    pub region: &'static str,
    pub zone: String,
    pub model: String,
    pub gpus: u32,
    pub cpu_milli: u64,
    pub memory_bytes: u64,
}

/// The fleet in the shape of openb: 1,213 hosts, 6,212 GPUs.
pub fn built_in() -> Result<Vec<Host>> {
    let mut hosts = Vec::new();
    for (at, line) in rows(BUILT_IN, "model,gpus,cpu_milli,memory_mib,hosts", "built-in fleet")? {
        let place = || format!("built-in fleet, line {at}");
        let [model, gpus, cpu, memory, count] = fields(line).with_context(place)?;
        for _ in 0..number(count, "hosts").with_context(place)? {
            let name = format!("{}-{:04}", model.to_lowercase(), hosts.len());
            hosts.push(host(hosts.len(), name, [model, gpus, cpu, memory]).with_context(place)?);
        }
    }
    Ok(hosts)
}

/// A node list of the trace: `sn,cpu_milli,memory_mib,gpu,model`. Nodes without a GPU are left out.
pub fn read(path: &Path) -> Result<Vec<Host>> {
    let source = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the fleet file {source}"))?;
    parse(&text, &source)
}

fn parse(text: &str, source: &str) -> Result<Vec<Host>> {
    let mut hosts: Vec<Host> = Vec::new();
    let mut names = std::collections::HashSet::new();
    for (at, line) in rows(text, "sn,cpu_milli,memory_mib,gpu,model", source)? {
        let place = || format!("{source}, line {at}");
        let [name, cpu, memory, gpus, model] = fields(line).with_context(place)?;
        if gpus == "0" {
            continue;
        }
        let host = host(hosts.len(), name.to_owned(), [model, gpus, cpu, memory]).with_context(place)?;
        host.spec().try_into().map(|_: gantry_types::HostSpec| ()).with_context(place)?;
        ensure!(names.insert(name), "{}: {name} occurs twice", place());
        hosts.push(host);
    }
    ensure!(!hosts.is_empty(), "{source} has no node with a GPU");
    Ok(hosts)
}

/// Equal hosts of eight GPUs, for load tests.
pub fn uniform(count: usize) -> Result<Vec<Host>> {
    (0..count).map(|at| host(at, format!("host-{at:05}"), ["G2", "8", "96000", "393216"])).collect()
}

/// So many hosts of the built-in fleet's kinds, in about its proportions.
pub fn of_size(count: usize) -> Result<Vec<Host>> {
    let models = built_in()?;
    let of = |at: usize| if count < models.len() { at * models.len() / count } else { at % models.len() };
    Ok((0..count).map(|at| Host { name: format!("host-{at:06}"), ..models[of(at)].clone() }).collect())
}

fn host(at: usize, name: String, [model, gpus, cpu, memory]: [&str; 4]) -> Result<Host> {
    let gpus = u32::try_from(number(gpus, "gpu")?).unwrap_or(u32::MAX);
    ensure!(gpus as usize <= limits::DEVICES_PER_HOST, "gpu is {gpus}: at most {}", limits::DEVICES_PER_HOST);
    ensure!(!model.is_empty(), "model is empty");
    let memory_mib = number(memory, "memory_mib")?;
    ensure!(memory_mib <= limits::SIZE_BYTES >> 20, "memory_mib is {memory_mib}, which is absurd");
    let region = region(at);
    let zone = format!("{region}-{}", (b'a' + (at / 10 % ZONES) as u8) as char);
    Ok(Host {
        name,
        region,
        zone,
        model: model.to_owned(),
        gpus,
        cpu_milli: number(cpu, "cpu_milli")?,
        memory_bytes: memory_mib << 20,
    })
}

/// Spreads neighbours, which are of one model, over the regions by their weights.
fn region(at: usize) -> &'static str {
    let mut tenth = at % 10;
    for (region, weight) in REGIONS {
        if tenth < weight {
            return region;
        }
        tenth -= weight;
    }
    REGIONS[0].0
}

fn rows<'a>(text: &'a str, header: &str, source: &str) -> Result<impl Iterator<Item = (usize, &'a str)>> {
    let mut lines = text.lines().enumerate();
    let first = lines.next().map_or("", |(_, line)| line.trim());
    ensure!(first == header, "{source} starts with {first:?}: expected the header {header:?}");
    Ok(lines.map(|(at, line)| (at + 1, line.trim())).filter(|(_, line)| !line.is_empty()))
}

fn fields<const N: usize>(line: &str) -> Result<[&str; N]> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    fields.try_into().map_err(|had: Vec<_>| anyhow::anyhow!("has {} fields: expected {N}", had.len()))
}

fn number(text: &str, field: &str) -> Result<u64> {
    text.parse().with_context(|| format!("{field} is {text:?}: expected a whole number"))
}

impl Host {
    pub fn cache_bytes(&self) -> u64 {
        CACHE_BASE_BYTES + u64::from(self.gpus) * CACHE_GPU_BYTES
    }

    /// What its agent registers.
    pub fn spec(&self) -> v1::HostSpec {
        let memory_bytes = device_memory_bytes(&self.model);
        v1::HostSpec {
            name: self.name.clone(),
            region: self.region.to_owned(),
            zone: self.zone.clone(),
            cpu_shared_milli: self.cpu_milli,
            memory_bytes: self.memory_bytes,
            cache_bytes: self.cache_bytes(),
            devices: (0..self.gpus)
                .map(|index| v1::Device { index, kind: self.model.clone(), memory_bytes, ..v1::Device::default() })
                .collect(),
            ..Default::default()
        }
    }
}

/// The trace names G2 and G3 only by these letters, so their memory is unknown: 0.
fn device_memory_bytes(model: &str) -> u64 {
    match model {
        "T4" | "P100" | "V100M16" => 16 << 30,
        "A10" => 24 << 30,
        "V100M32" => 32 << 30,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_built_in_fleet_is_the_openb_cluster() {
        let hosts = built_in().unwrap();
        let mut models: BTreeMap<&str, u32> = BTreeMap::new();
        let mut regions: BTreeMap<&str, usize> = BTreeMap::new();
        for host in &hosts {
            *models.entry(&host.model).or_default() += host.gpus;
            *regions.entry(host.region).or_default() += 1;
        }
        assert_eq!(hosts.len(), 1_213);
        assert_eq!(hosts.iter().map(|h| h.gpus).sum::<u32>(), 6_212);
        assert_eq!(hosts.iter().map(|h| h.cpu_milli).sum::<u64>(), 107_018_000);
        assert_eq!(hosts.iter().map(|h| h.memory_bytes >> 20).sum::<u64>(), 503_828_480);
        let expected =
            [("A10", 2), ("G2", 4_392), ("G3", 312), ("P100", 265), ("T4", 842), ("V100M16", 195), ("V100M32", 204)];
        assert_eq!(models, BTreeMap::from(expected));
        assert_eq!(regions, BTreeMap::from([("fra", 363), ("iad", 487), ("nrt", 242), ("syd", 121)]));
        assert_eq!(hosts.iter().map(|h| &h.name).collect::<std::collections::HashSet<_>>().len(), 1_213);
        assert_eq!(hosts, built_in().unwrap(), "the same fleet every time");
    }

    #[test]
    fn a_node_list_is_read_and_nodes_without_a_gpu_are_left_out() {
        let text = "sn,cpu_milli,memory_mib,gpu,model\nn1,64000,262144,2,P100\nn2,94000,1,0,\n\nn3,8000,32768,1,T4\n";
        let hosts = parse(text, "nodes.csv").unwrap();
        assert_eq!(hosts.iter().map(|h| h.name.as_str()).collect::<Vec<_>>(), ["n1", "n3"]);
        assert_eq!((hosts[0].gpus, hosts[0].cpu_milli, hosts[0].memory_bytes), (2, 64_000, 262_144 << 20));
        assert_eq!(hosts[1].spec().devices.len(), 1);
    }

    #[test]
    fn a_bad_row_is_named_with_its_number_and_its_fault() {
        let faults = [
            ("n2,64000,262144,2", "has 4 fields"),
            ("n2,many,262144,2,P100", "cpu_milli is \"many\""),
            ("n2,64000,-1,2,P100", "memory_mib is \"-1\""),
            ("n2,64000,18446744073709551615,2,P100", "absurd"),
            ("n2,64000,1,65,P100", "at most 64"),
            ("n2,64000,1,2,", "model is empty"),
            ("n1,64000,1,2,P100", "occurs twice"),
        ];
        for (bad, fault) in faults {
            let text = format!("sn,cpu_milli,memory_mib,gpu,model\nn1,64000,262144,2,P100\n{bad}\n");
            let error = format!("{:#}", parse(&text, "nodes.csv").unwrap_err());
            assert!(error.contains("nodes.csv, line 3") && error.contains(fault), "{error:?} should name {fault:?}");
        }
        assert!(parse("a,b\n", "nodes.csv").unwrap_err().to_string().contains("expected the header"));
        assert!(parse("sn,cpu_milli,memory_mib,gpu,model\n", "nodes.csv").is_err());
    }
}
