//! The network is slow, loses what travels, and brings calls a second time.

use std::sync::Arc;

use tokio::time::sleep;

use super::Fault;
use crate::{chance::Chance, net::Weather, world::World};

pub(super) const FAULT: Fault = Fault { name: "weather", begin };

fn begin(world: &Arc<World>, chance: &mut Chance) {
    let most = 1 + chance.below(60);
    let weather = Weather { delay_ms: (0, most), lost_permille: chance.below(60), twice_permille: chance.below(200) };
    world.trace.line(format!("weather: {weather:?}"));
    world.set_weather(weather);
    let (world, lasts) = (Arc::clone(world), chance.ms(500, 4_000));
    tokio::spawn(async move {
        sleep(lasts).await;
        world.set_weather(Weather::FAIR);
        world.trace.line("the weather is fair again");
    });
}
