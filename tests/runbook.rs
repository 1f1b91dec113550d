//! The runbook, command by command, as an operator types it: against real servers, under load for as long as the cluster lives.
//! Machines are folders here, and their addresses lie in the loopback network.

mod machines;
mod page;
mod story;

use self::story::Story;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_runbook_does_what_it_says() {
    let sections = page::sections();
    let mut story = Story::begin();
    let mut typed = 0;
    for section in &sections {
        story.before(&section.title).await;
        for line in &section.lines {
            eprintln!("{}: {}", section.title, line.text);
            story.types(line).await;
            typed += 1;
        }
        story.after(&section.title).await;
    }
    story.ends();
    assert_eq!(typed, page::commands(), "a command stands outside of every section");
}
