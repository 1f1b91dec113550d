//! The files of the openb traces.

use std::{collections::HashMap, io::Read, ops::RangeInclusive, path::Path};

use anyhow::{Context, Result, bail, ensure};

/// GPUs of one node at most.
const GPUS: u8 = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub cpu_milli: u32,
    pub memory_mib: u32,
    pub gpus: u8,
    /// Number of its model.
    pub model: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pod {
    pub cpu_milli: u32,
    pub memory_mib: u32,
    pub gpus: u8,
    /// Of each GPU; 0 where there is none.
    pub gpu_milli: u16,
    /// A bit for each model that will do; 0 accepts any.
    pub models: u64,
}

impl Pod {
    pub fn total_milli(&self) -> u64 {
        u64::from(self.gpus) * u64::from(self.gpu_milli)
    }

    pub fn is_share(&self) -> bool {
        self.gpus == 1 && self.gpu_milli < 1_000
    }
}

#[derive(Clone, Debug, Default)]
pub struct Trace {
    pub nodes: Vec<Node>,
    pub models: Vec<String>,
    /// In the order of their names.
    pub pods: Vec<Pod>,
}

impl Trace {
    pub fn read(nodes: &Path, pods: &Path) -> Result<Self> {
        let mut trace = Self::default();
        trace.add_nodes(&text(nodes)?).with_context(|| format!("{} is no node list", nodes.display()))?;
        trace.add_pods(&text(pods)?).with_context(|| format!("{} is no pod list", pods.display()))?;
        Ok(trace)
    }

    pub fn capacity_milli(&self) -> u64 {
        self.gpus() * 1_000
    }

    pub fn gpus(&self) -> u64 {
        self.nodes.iter().map(|node| u64::from(node.gpus)).sum()
    }

    fn add_nodes(&mut self, text: &str) -> Result<()> {
        for row in rows(text, &["cpu_milli", "memory_mib", "gpu", "model"])? {
            let [cpu, memory, gpu, model] = &row?[..] else { bail!("a row has other columns than the first") };
            let gpus: u8 = number("gpu", gpu)?;
            ensure!(gpus <= GPUS, "gpu is {gpus}: at most {GPUS}");
            let known = self.models.iter().position(|known| known == model);
            let model = known.unwrap_or_else(|| {
                self.models.push((*model).to_owned());
                self.models.len() - 1
            });
            ensure!(model < 64, "more than 64 models");
            self.nodes.push(Node {
                cpu_milli: number("cpu_milli", cpu)?,
                memory_mib: number("memory_mib", memory)?,
                gpus,
                model: model as u8,
            });
        }
        ensure!(self.gpus() > 0, "no node has a GPU");
        Ok(())
    }

    fn add_pods(&mut self, text: &str) -> Result<()> {
        let mut named: Vec<(&str, Pod)> = Vec::new();
        let header = text.lines().next().unwrap_or_default();
        let mut wanted = vec!["name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"];
        wanted.extend(header.contains("gpu_spec").then_some("gpu_spec"));
        for row in rows(text, &wanted)? {
            let row = row?;
            let gpus = number("num_gpu", row[3])?;
            let gpu_milli = if gpus == 0 { 0 } else { number("gpu_milli", row[4])? };
            ensure!(gpus <= GPUS && gpu_milli <= 1_000, "pod {} asks for {gpus} GPUs of {gpu_milli}", row[0]);
            ensure!(gpus == 0 || gpu_milli > 0, "pod {} asks for nothing of a GPU", row[0]);
            ensure!(gpus <= 1 || gpu_milli == 1_000, "pod {} asks for shares of several GPUs", row[0]);
            let spec = row.get(5).copied().filter(|_| gpus > 0).unwrap_or_default();
            // A model that no node has is a bit that no node's model is.
            let bit = |model: &str| 1 << self.models.iter().position(|known| known == model).unwrap_or(63);
            let models = spec.split('|').filter(|model| !model.is_empty()).fold(0, |bits, model| bits | bit(model));
            let (cpu_milli, memory_mib) = (number("cpu_milli", row[1])?, number("memory_mib", row[2])?);
            named.push((row[0], Pod { cpu_milli, memory_mib, gpus, gpu_milli, models }));
        }
        ensure!(!named.is_empty(), "no pod in it");
        named.sort_by_key(|(name, _)| *name);
        self.pods = named.into_iter().map(|(_, pod)| pod).collect();
        Ok(())
    }
}

/// `42..51`, both included, or one number.
pub fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let expected = || format!("{text:?} is no range of seeds: expected 42..51");
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let [first, last] = [first, last].map(|number| number.parse().map_err(|_| expected()));
    let (first, last): (u64, u64) = (first?, last?);
    if first > last || last - first >= 1_000 {
        return Err(format!("{text:?}: give 1 to 1,000 seeds, the smaller first"));
    }
    Ok(first..=last)
}

fn text(path: &Path) -> Result<String> {
    let read = || -> std::io::Result<String> {
        let file = std::fs::File::open(path)?;
        let mut text = String::new();
        if path.extension().is_some_and(|ext| ext == "zst") {
            zstd::Decoder::new(file)?.read_to_string(&mut text)?;
        } else {
            std::io::BufReader::new(file).read_to_string(&mut text)?;
        }
        Ok(text)
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}

/// The wanted columns of each row, by the names in the first line.
fn rows<'a>(text: &'a str, wanted: &[&str]) -> Result<impl Iterator<Item = Result<Vec<&'a str>>>> {
    let mut lines = text.lines().enumerate();
    let (_, header) = lines.next().context("the file is empty")?;
    let columns: HashMap<&str, usize> = header.split(',').enumerate().map(|(at, name)| (name.trim(), at)).collect();
    let places: Vec<usize> = wanted
        .iter()
        .map(|name| columns.get(name).copied().with_context(|| format!("there is no column {name}")))
        .collect::<Result<_>>()?;
    Ok(lines.filter(|(_, line)| !line.trim().is_empty()).map(move |(at, line)| {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let cell = |&place: &usize| {
            let cell = cells.get(place).copied();
            cell.with_context(|| format!("line {} has {} columns", at + 1, cells.len()))
        };
        places.iter().map(cell).collect()
    }))
}

fn number<T: std::str::FromStr>(what: &str, cell: &str) -> Result<T> {
    cell.parse().ok().with_context(|| format!("{what} is {cell:?}, which is no number that fits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: &str = "sn,cpu_milli,memory_mib,gpu,model\nn-0,64000,262144,2,P100\nn-1,96000,393216,8,G2\n";

    #[test]
    fn columns_are_found_by_name_and_pods_sorted() {
        let mut trace = Trace::default();
        trace.add_nodes(NODES).unwrap();
        assert_eq!((trace.gpus(), trace.models.len(), trace.nodes[1].model), (10, 2, 1));
        let pods = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos\nb,1,2,1,460,G2|V100,LS\na,5,6,0,0,,BE\n";
        trace.add_pods(pods).unwrap();
        assert_eq!(trace.pods[0], Pod { cpu_milli: 5, memory_mib: 6, ..Pod::default() });
        let share = Pod { cpu_milli: 1, memory_mib: 2, gpus: 1, gpu_milli: 460, models: 0b10 | 1 << 63 };
        assert_eq!(trace.pods[1], share);
        trace.add_pods("name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,1,1,2,1000\n").unwrap();
        assert_eq!((trace.pods[0].models, trace.pods[0].total_milli()), (0, 2_000));
    }

    #[test]
    fn a_bad_list_is_refused_by_what_is_wrong_with_it() {
        let mut trace = Trace::default();
        for (text, named) in [("", "empty"), ("sn,gpu\n", "cpu_milli"), (&*NODES.replace("64000", "many"), "many")] {
            let error = trace.add_nodes(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        let header = "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n";
        for (row, named) in [("a,1,1,2,500", "shares of several"), ("a,1,1,1,1001", "1001"), ("a,1", "columns")] {
            let error = trace.add_pods(&format!("{header}{row}\n")).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn seeds_are_a_range_with_both_ends() {
        assert_eq!((seeds("42..51").unwrap(), seeds("7").unwrap()), (42..=51, 7..=7));
        assert!(seeds("5..4").is_err() && seeds("a").is_err() && seeds("0..9999").is_err());
    }
}
