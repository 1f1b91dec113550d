//! Steps that run one after the other, stop at the first failure, and end in a table.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::workspace::Workspace;

/// What a step leaves for the table, `""` for nothing.
pub(crate) type Note = String;

pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Workspace) -> Result<Note>,
}

enum Ending {
    Passed(Note),
    Failed,
    NotRun,
}

struct Row {
    name: &'static str,
    took: Duration,
    ending: Ending,
}

/// Runs `steps` and prints the table; the error is the first failed step's.
pub(crate) fn run(workspace: &Workspace, steps: &[Step]) -> Result<()> {
    let mut rows = Vec::new();
    let mut failure = None;
    for (position, step) in steps.iter().enumerate() {
        if failure.is_some() {
            rows.push(Row { name: step.name, took: Duration::ZERO, ending: Ending::NotRun });
            continue;
        }
        println!("\n== {}/{} {}", position + 1, steps.len(), step.name);
        let began = Instant::now();
        let result = (step.run)(workspace);
        let took = began.elapsed();
        let ending = match result {
            Ok(note) => {
                println!("== {}: ok in {}", step.name, elapsed(took));
                Ending::Passed(note)
            }
            Err(error) => {
                println!("== {}: FAILED after {}", step.name, elapsed(took));
                failure = Some(error.context(format!("step '{}'", step.name)));
                Ending::Failed
            }
        };
        rows.push(Row { name: step.name, took, ending });
    }
    print!("\n{}", table(&rows)?);
    failure.map_or(Ok(()), Err)
}

fn table(rows: &[Row]) -> Result<String> {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let (mark, note) = match &row.ending {
            Ending::Passed(note) => ("ok", note.as_str()),
            Ending::Failed => ("FAILED", ""),
            Ending::NotRun => ("not run", ""),
        };
        let line = format!("{:width$}  {mark:7}  {:>12}  {note}", row.name, elapsed(row.took));
        writeln!(text, "{}", line.trim_end()).context("writing the table")?;
    }
    let total: Duration = rows.iter().map(|row| row.took).sum();
    writeln!(text, "{:width$}  {:7}  {:>12}", "total", "", elapsed(total)).context("writing the table")?;
    Ok(text)
}

/// "0.4 s", "42.0 s", "3 min 07 s".
fn elapsed(took: Duration) -> String {
    let seconds = took.as_secs();
    if seconds < 60 {
        format!("{}.{} s", seconds, took.subsec_millis() / 100)
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_where_it_stopped() {
        let rows = [
            Row { name: "format", took: Duration::from_millis(420), ending: Ending::Passed("41 files".to_owned()) },
            Row { name: "tests", took: Duration::from_secs(187), ending: Ending::Failed },
            Row { name: "docs", took: Duration::ZERO, ending: Ending::NotRun },
        ];
        let expected = "\
format  ok              0.4 s  41 files
tests   FAILED     3 min 07 s
docs    not run         0.0 s
total              3 min 07 s
";
        assert_eq!(table(&rows).unwrap(), expected);
    }
}
