//! Tables for people: aligned columns, no borders, so that `awk` and `grep` work on them too.

use std::fmt::Write as _;

/// Which side of its column a cell stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    /// For numbers.
    Right,
}

#[derive(Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Column titles; those that start with `>` hold numbers.
    pub fn new<T: AsRef<str>>(titles: impl IntoIterator<Item = T>) -> Self {
        let column = |title: T| match title.as_ref().strip_prefix('>') {
            Some(title) => (title.to_owned(), Align::Right),
            None => (title.as_ref().to_owned(), Align::Left),
        };
        Self { columns: titles.into_iter().map(column).collect(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().collect();
        for cell in &mut cells {
            if cell.is_empty() {
                cell.push('-');
            }
        }
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    pub fn render(&self) -> String {
        let titles: Vec<String> = self.columns.iter().map(|(title, _)| title.clone()).collect();
        let lines = || std::iter::once(&titles).chain(&self.rows);
        let width = |column: usize| lines().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..titles.len()).map(|column| width(column).unwrap_or(0)).collect();
        let mut out = String::new();
        for line in lines() {
            let mut text = String::new();
            for (at, ((cell, (_, align)), width)) in line.iter().zip(&self.columns).zip(&widths).enumerate() {
                let gap = if at == 0 { "" } else { "  " };
                let written = match align {
                    Align::Left => write!(text, "{gap}{cell:<width$}"),
                    Align::Right => write!(text, "{gap}{cell:>width$}"),
                };
                written.expect("writing to a string cannot fail");
            }
            out.push_str(text.trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_cells_are_visible() {
        let mut table = Table::new(["HOST", ">FREE", "ZONE"]);
        table.row(["höst-1".into(), "16 GiB".into(), "a".into()]);
        table.row(["h".into(), "1 TiB".into(), String::new()]);
        assert_eq!(table.render(), "HOST      FREE  ZONE\nhöst-1  16 GiB  a\nh        1 TiB  -\n");
    }
}
