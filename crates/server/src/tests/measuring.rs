//! What a member says of itself to Prometheus.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::member::{Member, place};

async fn page(member: &Member, path: &str) -> String {
    let mut connection = TcpStream::connect(&member.metrics_addr).await.unwrap();
    let ask = format!("GET {path} HTTP/1.1\r\nhost: member\r\nconnection: close\r\n\r\n");
    connection.write_all(ask.as_bytes()).await.unwrap();
    let mut page = String::new();
    connection.read_to_string(&mut page).await.unwrap();
    page
}

/// The number of a line that begins with this.
fn number(page: &str, name: &str) -> f64 {
    let line = page.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    let line = line.unwrap_or_else(|| panic!("no {name} in:\n{page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn what_answers_say_is_summed_for_prometheus() {
    let member = Member::start().await;
    let _agents = member.hosts(1).await;
    let mut client = member.placement();
    let placed = client.place(place("first", 6)).await.unwrap().into_inner();
    let again = client.place(place("first", 6)).await.unwrap().into_inner();
    assert_eq!(placed.reservations, again.reservations);
    let part = client.place(place("part", 5)).await.unwrap().into_inner();
    assert_eq!(part.missing, 3);
    client.place(place("none", 1)).await.unwrap_err();

    let page = page(&member, "/metrics").await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert_eq!(number(&page, "gantry_machines_placed_total"), 8.0, "an answer given again was counted again");
    assert_eq!(number(&page, "gantry_machines_missing_total"), 3.0);
    assert_eq!(number(&page, "gantry_calls_total{outcome=\"PLACED\"}"), 2.0);
    assert_eq!(number(&page, "gantry_calls_total{outcome=\"PLACED_IN_PART\"}"), 1.0);
    assert_eq!(number(&page, "gantry_calls_total{outcome=\"NO_CAPACITY\"}"), 1.0);
    assert!(number(&page, "gantry_hosts_refused_total{constraint=\"gpu\"}") >= 1.0);
    assert_eq!(number(&page, "gantry_images_unknown_total"), 8.0, "nobody has recorded an image");
    // The same values as in the answers.
    for at in 0..placed.choices[0].terms.len() {
        let choices = placed.choices.iter().chain(&part.choices);
        let told: i64 = choices.map(|choice| choice.terms[at].value.abs()).sum();
        let name = &placed.choices[0].terms[at].name;
        let summed = number(&page, &format!("gantry_score_term_seconds_sum{{term=\"{name}\"}}"));
        assert!((summed - told as f64 / 1e6).abs() < 1e-6, "{name}: {summed} s, and answers said {told} us");
    }
    assert_eq!(number(&page, "gantry_is_leader"), 1.0);
    assert_eq!(number(&page, "gantry_hosts"), 1.0);
    assert_eq!(number(&page, "gantry_reservations"), 8.0);
    member.stop().await;
}

#[tokio::test]
async fn nothing_else_is_served_beside_the_metrics() {
    let member = Member::start().await;
    let page = page(&member, "/").await;
    assert!(page.starts_with("HTTP/1.1 404"), "{page}");
    member.stop().await;
}
