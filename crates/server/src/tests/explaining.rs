//! Questions about placements that are not made, and the tables that operators keep.

use gantry_proto::v1::{self, agent_message::Message};
use tonic::Code;

use super::member::{Agent, Member, host, place};

async fn upgraded() -> Member {
    let member = Member::start().await;
    member.cluster().set_feature_level(v1::SetFeatureLevelRequest { level: 2 }).await.unwrap();
    member
}

async fn register(member: &Member, name: &str, region: &str) -> Agent {
    let mut agent = Agent::connect(member).await;
    let spec = v1::HostSpec { region: region.to_owned(), ..host(name) };
    agent.tell(Message::Register(spec)).await.unwrap();
    agent
}

fn in_regions(id: &str, regions: &[&str]) -> v1::PlaceRequest {
    let regions = regions.iter().map(|region| (*region).to_owned()).collect();
    v1::PlaceRequest { constraints: Some(v1::Constraints { regions, ..v1::Constraints::default() }), ..place(id, 1) }
}

async fn explain(member: &Member, request: v1::PlaceRequest) -> v1::ExplainResponse {
    let request = v1::ExplainRequest { request: Some(request), top: 1 };
    member.placement().explain(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn an_alias_is_set_listed_and_placed_by() {
    let member = Member::start().await;
    let alias = |regions: &[&str]| v1::SetRegionAliasRequest {
        name: "eu".to_owned(),
        regions: regions.iter().map(|region| (*region).to_owned()).collect(),
    };
    let refused = member.fleet().set_region_alias(alias(&["ams"])).await.unwrap_err();
    assert!(refused.message().contains("feature level 2"), "{refused:?}");
    member.cluster().set_feature_level(v1::SetFeatureLevelRequest { level: 2 }).await.unwrap();
    let _agents = [register(&member, "a", "ams").await, register(&member, "b", "fra").await];
    member.fleet().set_region_alias(alias(&["lhr", "fra"])).await.unwrap();
    let refused = member.fleet().set_region_alias(alias(&["eu"])).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    let region = |name: &str, stands_for: &[&str]| v1::Region {
        name: name.to_owned(),
        stands_for: stands_for.iter().map(|region| (*region).to_owned()).collect(),
        hosts: 1,
        open_hosts: u32::from(name == "ams"),
    };
    let cordon = v1::SetSchedulingRequest { name: "b".to_owned(), scheduling: v1::Scheduling::Cordoned as i32 };
    member.fleet().set_scheduling(cordon.clone()).await.unwrap();
    let mut listed = Vec::new();
    let mut request = v1::ListRegionsRequest { page_size: 2, after_name: String::new() };
    loop {
        let page = member.fleet().list_regions(request.clone()).await.unwrap().into_inner();
        listed.extend(page.regions);
        request.after_name = page.next_after_name;
        if request.after_name.is_empty() {
            break;
        }
    }
    assert_eq!(listed, [region("ams", &[]), region("eu", &["lhr", "fra"]), region("fra", &[])]);

    let open = v1::SetSchedulingRequest { scheduling: v1::Scheduling::Open as i32, ..cordon };
    member.fleet().set_scheduling(open).await.unwrap();
    let placed = member.placement().place(in_regions("p", &["eu"])).await.unwrap().into_inner();
    assert_eq!(placed.reservations[0].host, "b");
    member.fleet().set_region_alias(alias(&[])).await.unwrap();
    let refused = member.placement().place(in_regions("q", &["eu"])).await.unwrap_err();
    let error = gantry_proto::WireError::from(&refused);
    assert_eq!((error.code, error.field.as_str()), (Code::ResourceExhausted, "constraints.regions"));
    assert!(error.message.contains("wants eu, where no host is, has hosts in ams, fra"), "{error}");
}

#[tokio::test]
async fn a_placement_is_explained_and_not_made() {
    let member = upgraded().await;
    let _agents = [register(&member, "a", "ams").await, register(&member, "b", "fra").await];
    let before = member.consensus.state().read().rev();
    let request = v1::PlaceRequest { count: 20, ..place("p", 20) };
    let answer = explain(&member, request.clone()).await;
    let fits = answer.fits.unwrap();
    assert_eq!((fits.machines, fits.hosts, fits.at_least), (16, 2, false));
    let by_region: Vec<_> = fits.regions.iter().map(|fits| (fits.region.as_str(), fits.machines, fits.hosts)).collect();
    assert_eq!(by_region, [("ams", 8, 1), ("fra", 8, 1)]);
    assert_eq!((answer.changes.len(), answer.hosts.len(), answer.feasible), (0, 1, 2));
    let plan = answer.plan.unwrap();
    assert_eq!((plan.machines.len(), plan.missing, plan.rejections[0].constraint.as_str()), (16, 4, "gpu"));
    assert_eq!(member.consensus.state().read().rev(), before, "nothing is proposed");

    let placed = member.placement().place(request.clone()).await.unwrap().into_inner();
    let planned = plan.machines.iter().map(|machine| (&machine.host, &machine.devices, machine.choice.as_ref()));
    let made =
        placed.reservations.iter().zip(&placed.choices).map(|(row, choice)| (&row.host, &row.devices, Some(choice)));
    assert!(planned.eq(made), "another plan than the one that was told: {plan:?} {placed:?}");

    let release = v1::ReleaseRequest { request_id: "r".to_owned(), reservation_ids: vec![placed.reservations[0].id] };
    member.placement().release(release).await.unwrap();
    let whole = v1::PlaceRequest { all_or_nothing: true, ..request };
    let answer = explain(&member, whole).await;
    assert_eq!((answer.plan.unwrap().missing, answer.fits.unwrap().machines), (20, 1));
    let change = &answer.changes[0];
    assert_eq!(
        (change.field.as_str(), change.from.as_str(), change.to.as_str(), change.hosts),
        ("count", "20", "1", 1)
    );
}

#[tokio::test]
async fn what_would_let_a_request_fit_lets_it_fit() {
    let member = upgraded().await;
    let _agents = [register(&member, "a", "ams").await, register(&member, "b", "fra").await];
    let gpus = |request: v1::PlaceRequest, count| {
        let mut shape = request.shape.clone().unwrap();
        shape.gpu.as_mut().unwrap().count = count;
        v1::PlaceRequest { shape: Some(shape), ..request }
    };
    let answer = explain(&member, gpus(place("p", 1), 9)).await;
    let [change] = &answer.changes[..] else { panic!("{answer:?}") };
    assert_eq!(change.text, "2 hosts take it with shape.gpu.count 8 instead of 9");
    assert_eq!((answer.fits.unwrap().machines, answer.plan.unwrap().missing), (0, 1));
    let refused = member.placement().place(gpus(place("p", 1), 9)).await.unwrap_err();
    assert_eq!(gantry_proto::WireError::from(&refused).detail.changes, answer.changes, "a refusal tells the same");
    member.placement().place(gpus(place("p", 1), 8)).await.unwrap();

    let answer = explain(&member, in_regions("q", &["lhr"])).await;
    let [change] = &answer.changes[..] else { panic!("{answer:?}") };
    assert_eq!((change.field.as_str(), change.from.as_str(), change.hosts), ("constraints.regions", "lhr", 1));
    member.placement().place(in_regions("q", &[&change.to])).await.unwrap();
}

#[tokio::test]
async fn policies_are_set_and_listed() {
    let member = upgraded().await;
    let pack = v1::Policy { preset: v1::Preset::Pack as i32, spread_milli: Some(2_000), ..v1::Policy::default() };
    let set = |app: &str, policy| v1::SetPolicyRequest { app: app.to_owned(), policy };
    for app in ["b", "a", "c"] {
        member.placement().set_policy(set(app, Some(pack))).await.unwrap();
    }
    member.placement().set_policy(set("b", None)).await.unwrap();
    let over = v1::Policy { ready_milli: Some(100_001), ..pack };
    let refused = member.placement().set_policy(set("a", Some(over))).await.unwrap_err();
    assert!(refused.message().contains("policy.ready_milli is 100001"), "{refused:?}");

    let get = |app: &str| v1::GetPolicyRequest { app: app.to_owned() };
    let got = member.placement().get_policy(get("a")).await.unwrap().into_inner().policy.unwrap();
    assert_eq!(got, pack);
    let got = member.placement().get_policy(get("b")).await.unwrap().into_inner().policy.unwrap();
    assert_eq!(got.preset(), v1::Preset::Default);
    let request = |after_app: String| v1::ListPoliciesRequest { page_size: 1, after_app };
    let first = member.placement().list_policies(request(String::new())).await.unwrap().into_inner();
    assert_eq!((first.policies[0].app.as_str(), first.next_after_app.as_str()), ("a", "a"));
    let second = member.placement().list_policies(request(first.next_after_app)).await.unwrap().into_inner();
    assert_eq!((second.policies[0].app.as_str(), second.next_after_app.as_str()), ("c", ""));
}
