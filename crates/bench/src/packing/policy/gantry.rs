//! Ours: the planner as it serves requests, with its default policy, over a fleet of these nodes.

use std::collections::BTreeMap;

use gantry_fleet::{Fleet, Grant};
use gantry_placement::Planner;
use gantry_types::{Device, GpuShape, HostId, HostSpec, PlaceRequest, Shape};

use super::{Choose, Chosen, Policy};
use crate::packing::{
    fleet::Room,
    trace::{Pod, Trace},
};

const MIB: u64 = 1 << 20;

pub(super) const POLICY: Policy =
    Policy { name: "gantry", start: |trace, rooms, _| Box::new(Gantry::new(trace, rooms)) };

struct Gantry {
    fleet: Fleet,
    planner: Planner,
    nodes: BTreeMap<HostId, usize>,
    models: Vec<String>,
    requests: u64,
}

impl Gantry {
    fn new(trace: &Trace, rooms: &[Room]) -> Self {
        let (mut fleet, mut planner, mut nodes) = (Fleet::default(), Planner::default(), BTreeMap::new());
        for (at, room) in rooms.iter().enumerate() {
            let kind = &trace.models[usize::from(room.model)];
            let device = |index| Device { index, kind: kind.clone(), ..Device::default() };
            let spec = HostSpec {
                name: format!("node-{at:05}"),
                region: "openb".into(),
                zone: "openb".into(),
                cpu_shared_milli: room.cpu_milli.into(),
                memory_bytes: u64::from(room.memory_mib) * MIB,
                devices: (0..room.free_milli.len() as u32).map(device).collect(),
                ..HostSpec::default()
            };
            nodes.insert(fleet.register_host(spec).expect("a node of the trace is a sane host"), at);
        }
        // The other policies that look ahead know the list too.
        trace.pods.iter().for_each(|pod| planner.expect(&shape(pod, &trace.models), 1));
        Self { fleet, planner, nodes, models: trace.models.clone(), requests: 0 }
    }
}

fn shape(pod: &Pod, models: &[String]) -> Shape {
    let named = models.iter().enumerate().filter(|(bit, _)| pod.models >> bit & 1 == 1);
    let mut kinds: Vec<String> = named.map(|(_, model)| model.clone()).collect();
    if kinds.is_empty() && pod.models != 0 {
        kinds.push("a model that no node has".into());
    }
    let gpu = GpuShape { kinds, count: pod.gpus.into(), milli: pod.gpu_milli.into(), ..GpuShape::default() };
    Shape {
        cpu_milli: pod.cpu_milli.into(),
        memory_bytes: u64::from(pod.memory_mib) * MIB,
        gpu: (pod.gpus > 0).then_some(gpu),
        ..Shape::default()
    }
}

impl Choose for Gantry {
    fn choose(&mut self, _: &[Room], pod: &Pod) -> Option<Chosen> {
        self.requests += 1;
        // Every pod by itself: the trace says nothing of whose it is.
        let request = PlaceRequest {
            app: format!("app-{}", self.requests),
            shape: shape(pod, &self.models),
            count: 1,
            ..PlaceRequest::default()
        };
        self.planner.catch_up(&self.fleet);
        let plans = self.planner.try_plan(&self.fleet, &request)?.plans;
        let plan = plans.first()?;
        self.fleet.grant(Grant { request: &request, plan });
        self.fleet.take_changes();
        self.fleet.take_events();
        self.planner.settle(&request, &plans);
        let devices = plan.devices.iter().map(|share| share.index as usize).collect();
        Some(Chosen { node: *self.nodes.get(&plan.host)?, devices })
    }
}
