//! What there is to type on the page.

const PAGE: &str = include_str!("../../deploy/README.md");
const EXITS_WITH: &str = "# exits with ";
const FENCE: &str = "```";

pub struct Section {
    pub title: String,
    pub lines: Vec<Line>,
}

pub struct Line {
    pub text: String,
    /// Unlike 0 where the page says so.
    pub code: i32,
}

pub fn sections() -> Vec<Section> {
    let sections = PAGE.split("\n## ").skip(1).map(|section| {
        let title = section.lines().next().unwrap_or_default().to_owned();
        let blocks = section.split(FENCE).skip(1).step_by(2);
        Section { title, lines: blocks.flat_map(lines).collect() }
    });
    sections.filter(|section| !section.lines.is_empty()).collect()
}

/// Lines within fences, counted another way.
pub fn commands() -> usize {
    let mut inside = false;
    let mut count = 0;
    for line in PAGE.lines() {
        if line.starts_with(FENCE) {
            assert_eq!(line, FENCE, "a block that is not typed would be noticed by nobody");
            inside = !inside;
        } else if inside && !line.is_empty() {
            count += 1;
        }
    }
    count
}

fn lines(block: &str) -> impl Iterator<Item = Line> {
    block.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
        let code =
            line.split_once(EXITS_WITH).map_or(0, |(_, code)| code.trim().parse().expect("an exit code is a number"));
        Line { text: line.to_owned(), code }
    })
}
