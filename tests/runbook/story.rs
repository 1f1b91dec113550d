//! What happens between the commands: machines die, callers place all the time, and what they were told is looked for.

use std::{collections::BTreeSet, time::Duration};

use gantry_client::{Client, v1};

use super::{machines::Machines, page::Line};
use crate::{
    failover::Load,
    support::{Fleet, place},
};

/// How often a look at the cluster is repeated until all is well, and the pause between.
const LOOKS: u32 = 300;
const PAUSE: Duration = Duration::from_millis(200);
const HOSTS: usize = 144;

/// Sections at which something happens.
const CHAPTERS: [&str; 10] = [
    "Bootstrap",
    "Add a member",
    "Move a member to another address",
    "Replace a member that is lost",
    "Remove a member",
    "Restart all members",
    "Upgrade",
    "Back up",
    "Restore",
    "Recover from one survivor",
];

pub struct Story {
    machines: Machines,
    load: Option<Load>,
    /// Voters that there are when all is well.
    voters: usize,
    seen: BTreeSet<String>,
    /// What was acknowledged and is to be there again.
    kept: Vec<Held>,
}

/// A machine as its caller was told of it: number, host, GPUs, fence.
type Held = (u64, String, Vec<u32>, u64);

impl Story {
    pub fn begin() -> Self {
        Self { machines: Machines::new(), load: None, voters: 3, seen: BTreeSet::new(), kept: Vec::new() }
    }

    /// Every chapter was on the page.
    pub fn ends(self) {
        let missing: Vec<&&str> = CHAPTERS.iter().filter(|title| !self.seen.contains(**title)).collect();
        assert!(missing.is_empty(), "deploy/README.md has no section {missing:?} any more");
    }

    pub async fn types(&mut self, line: &Line) {
        let looks = ["gantry cluster status", "gantry cluster verify"].iter().any(|look| line.text.starts_with(look));
        let mut tries = if looks { LOOKS } else { 1 };
        loop {
            let output = self.machines.run(&line.text).await;
            let said =
                format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            tries -= 1;
            let well = output.status.code() == Some(line.code);
            if well && (!looks || self.is_whole().await) {
                return;
            }
            assert!(tries > 0, "{}\n{said}{:?}", line.text, output.status);
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub async fn before(&mut self, title: &str) {
        self.seen.insert(title.to_owned());
        match title {
            "Add a member" => self.voters = 5,
            "Replace a member that is lost" => {
                self.machines.kill("10.0.0.2");
                self.load().goes_on().await;
            }
            "Remove a member" => self.voters = 3,
            "Back up" => {
                let told = self.load.take().expect("callers place until here").stop().await;
                told.kept_in(&self.reservations().await);
                self.place_some("before", 10).await;
                self.kept = held(self.reservations().await);
            }
            "Restore" => {
                self.place_some("after", 3).await;
                self.machines.kill_all();
                self.voters = 5;
            }
            "Recover from one survivor" => {
                self.place_some("restored", 5).await;
                self.kept = held(self.reservations().await);
                self.settles().await;
                ["10.0.0.11", "10.0.0.12", "10.0.0.14", "10.0.0.15"].iter().for_each(|host| self.machines.kill(host));
                self.voters = 1;
            }
            _ => {}
        }
    }

    pub async fn after(&mut self, title: &str) {
        match title {
            "Bootstrap" => {
                Fleet::on(&self.client(), HOSTS).await;
                self.load = Some(Load::start(&self.addrs()));
            }
            // Of the members that the callers were given none will be left.
            "Add a member" => self.load().learn_members().await,
            "Move a member to another address" => {
                let moved = self.machines.here("10.0.0.7:7400");
                let members = self.status().await.expect("a member answers").members;
                assert!(members.iter().any(|member| member.id == 3 && member.client_addr == moved), "{members:?}");
            }
            "Replace a member that is lost" => {
                let members = self.status().await.expect("a member answers").members;
                assert!(members.iter().all(|member| member.id != 2), "{members:?}");
            }
            "Upgrade" => assert_eq!(self.status().await.expect("a member answers").feature_level, 2),
            "Restore" | "Recover from one survivor" => {
                assert_eq!(held(self.reservations().await), self.kept, "{title}: not what was announced");
                let newest = self.kept.iter().map(|held| held.3).max();
                let new = self.place_some(title, 3).await;
                assert!(new.iter().all(|row| Some(row.fence) > newest), "a fence was given out again: {new:?}");
            }
            _ => {}
        }
        if let Some(load) = &self.load {
            load.goes_on().await;
        }
    }

    fn load(&self) -> &Load {
        self.load.as_ref().expect("callers place since the bootstrap")
    }

    fn addrs(&self) -> Vec<String> {
        self.machines.exported("GANTRY_ADDR").split(',').map(str::to_owned).collect()
    }

    fn client(&self) -> Client {
        Client::new(self.addrs()).expect("the page gives addresses")
    }

    /// As the first of the members tells it that answers.
    async fn status(&self) -> Option<v1::StatusResponse> {
        let client = self.client();
        for addr in self.addrs() {
            if let Ok(status) = client.status(&addr, false).await {
                return Some(status);
            }
        }
        None
    }

    /// Whether as many members vote as are to, and every one of them runs.
    async fn is_whole(&self) -> bool {
        let Some(status) = self.status().await else { return false };
        let voters = status.members.iter().filter(|member| member.voter).count();
        (voters, status.members.len()) == (self.voters, self.voters)
    }

    /// Waits until every member has applied everything: no one of them is the only one that has it.
    async fn settles(&self) {
        let client = self.client();
        for _ in 0..LOOKS {
            let mut applied = BTreeSet::new();
            for addr in self.addrs() {
                applied.insert(client.status(&addr, false).await.map_or(0, |status| status.applied));
            }
            if applied.len() == 1 {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("the members do not come to one rev");
    }

    async fn place_some(&self, prefix: &str, count: u64) -> Vec<v1::Reservation> {
        let client = self.client();
        let mut placed = Vec::new();
        for number in 0..count {
            let answer = client.place(place(&format!("{prefix}-{number}"), "app", 1_000)).await;
            placed.extend(answer.expect("there is room").reservations);
        }
        placed
    }

    async fn reservations(&self) -> Vec<v1::Reservation> {
        const PAGE: u32 = 5_000;
        let listed = self.client().list(v1::ListRequest { page_size: PAGE, ..Default::default() }).await;
        let listed = listed.expect("a leader answers");
        assert_eq!(listed.next_after_id, 0, "all of them fit onto a page");
        listed.reservations
    }
}

fn held(reservations: Vec<v1::Reservation>) -> Vec<Held> {
    let indices = |row: &v1::Reservation| row.devices.iter().map(|device| device.index).collect();
    let mut held: Vec<Held> =
        reservations.iter().map(|row| (row.id, row.host.clone(), indices(row), row.fence)).collect();
    held.sort();
    held
}
