//! What is said between an agent and the cluster.

use gantry_agent::Config;
use gantry_proto::v1::{DeviceShare, Phase, Reservation, ReservationEnded, Shape, agent_event::Event};
use tokio::task::JoinHandle;

use crate::cluster::Cluster;

fn agent(addresses: &[&str], devices: &[u32]) -> JoinHandle<()> {
    let devices: Vec<String> = devices
        .iter()
        .map(|index| format!("{{ index = {index}, kind = \"H100\", memory_bytes = 85899345920 }}"))
        .collect();
    let text = format!(
        "cluster = {addresses:?}\nhost = \"h\"\nregion = \"ord\"\nzone = \"ord-1\"\n[capacity]\nmemory_bytes = 100\n\
         [gpu]\ndevices = [{}]\n",
        devices.join(", ")
    );
    let config: Config = toml::from_str(&text).expect("a config");
    tokio::spawn(async { gantry_agent::run(config, std::future::pending()).await.expect("it runs") })
}

fn row(id: u64, memory_bytes: u64, devices: &[u32]) -> Reservation {
    let devices = devices.iter().map(|&index| DeviceShare { index, milli: 1_000 }).collect();
    let shape = Some(Shape { memory_bytes, ..Shape::default() });
    Reservation { id, fence: id, shape, devices, phase: Phase::Reserved.into(), ..Reservation::default() }
}

#[tokio::test]
async fn grants_are_confirmed_or_refused_with_a_reason() {
    let cluster = Cluster::start().await;
    let agent = agent(&[&cluster.address], &[0, 1]);
    let heard = cluster.until("registered", |heard| heard.registered.len() == 1).await;
    assert_eq!(heard.registered[0].devices.len(), 2);
    cluster.until("connected", |heard| heard.connections == 1).await;
    cluster.grant(row(1, 60, &[0]));
    cluster.grant(row(2, 60, &[]));
    cluster.grant(row(3, 10, &[5]));
    let heard = cluster.until("answered", |heard| heard.confirmed.len() + heard.refused.len() == 3).await;
    // The older one of two that do not fit beside each other has ended unheard.
    assert_eq!(heard.confirmed, [1, 2]);
    assert_eq!(heard.refused, [(3, "GPU 5 is gone".to_owned())]);
    cluster.grant(row(4, 101, &[]));
    let heard = cluster.until("refused", |heard| heard.refused.len() == 2).await;
    assert_eq!(heard.refused[1], (4, "101 bytes of memory wanted, 100 of 100 left".to_owned()));
    agent.abort();
}

#[tokio::test]
async fn a_broken_connection_is_made_again_and_both_sides_agree() {
    let cluster = Cluster::start().await;
    let agent = agent(&[&cluster.address], &[0]);
    cluster.until("registered", |heard| heard.registered.len() == 1).await;
    cluster.grant(row(1, 60, &[0]));
    cluster.until("confirmed", |heard| heard.confirmed == [1]).await;
    cluster.say(Event::Ended(ReservationEnded { reservation_id: 1, fence: 1, rev: 1 }));
    cluster.forget(1);
    // Granted while nobody listens: the agent hears of it when it is back.
    cluster.stands(row(2, 100, &[0]));
    cluster.cut();
    let heard = cluster.until("back", |heard| heard.confirmed == [1, 2]).await;
    assert_eq!((heard.registered.len(), heard.connections, heard.refused.len()), (2, 2, 0));
    agent.abort();
}

#[tokio::test]
async fn another_member_is_asked_where_one_is_gone() {
    let cluster = Cluster::start().await;
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let nowhere = nowhere.expect("a port that is free again").to_string();
    let agent = agent(&[&nowhere, &cluster.address], &[]);
    cluster.until("registered", |heard| heard.registered.len() == 1).await;
    agent.abort();
}

#[tokio::test]
async fn a_host_that_lost_a_gpu_gives_back_what_was_promised_on_it() {
    let cluster = Cluster::start().await;
    let whole = {
        let agent = agent(&[&cluster.address], &[0, 1]);
        let heard = cluster.until("registered", |heard| heard.registered.len() == 1).await;
        agent.abort();
        heard.registered[0].clone()
    };
    cluster.stands(row(1, 10, &[0]));
    cluster.stands(row(2, 10, &[1]));
    cluster.refuse_registration(whole.clone());
    let agent = agent(&[&cluster.address], &[0]);
    let heard = cluster.until("given back", |heard| !heard.refused.is_empty() && heard.registered.len() == 3).await;
    assert_eq!(heard.refused, [(2, "GPU 1 is gone".to_owned())]);
    assert_eq!(heard.registered[1], whole, "it stands in for what it was");
    assert_eq!(heard.registered[2].devices.len(), 1, "and is itself again");
    agent.abort();
}
