use super::{
    files::ImageNo,
    fleet::{Fleet, HostNo, Seen},
    workload::Scenario,
};
#[derive(Debug)]
pub struct Gantry<'a> {
    scenario: &'a Scenario,
    seen: Vec<Seen>,
}
impl<'a> Gantry<'a> {
    pub fn new(scenario: &'a Scenario) -> Self {
        Self { scenario, seen: Vec::new() }
    }
    pub fn plan(&mut self, fleet: &Fleet, _app: u32, image: ImageNo, machines: u32, plan: &mut Vec<HostNo>) {
        plan.clear();
        let image = &self.scenario.images[image as usize];
        fleet.look(image, &mut self.seen);
        let mut free: Vec<u32> = (0..fleet.hosts()).map(|h| fleet.free(h)).collect();
        for _ in 0..machines {
            let best = (0..fleet.hosts())
                .filter(|&h| free[h] > 0)
                .min_by_key(|&h| (self.seen[h].ready_us, u32::MAX - free[h]));
            let Some(best) = best else { return };
            free[best] -= 1;
            plan.push(best as HostNo);
        }
    }
}
