//! HTML tables whose numbers line up.

use super::escape;

/// A cell: text, and what to sort and draw by where it is a number.
#[derive(Clone, Debug)]
pub enum Cell {
    Text(String),
    Number(String),
    /// A number with a bar under it, as a part of the largest one in the column; the class is its colour.
    Bar(String, f64, &'static str),
}

#[derive(Debug, Default)]
pub struct Row {
    /// An attribute for the script: `data-app`.
    pub app: Option<usize>,
    pub cells: Vec<Cell>,
}

pub fn draw(id: &str, head: &[&str], rows: &[Row]) -> String {
    let mut out = format!("<div class=\"scroll\"><table id=\"{id}\"><thead><tr>");
    for (column, title) in head.iter().enumerate() {
        let numeric = rows.first().is_some_and(|row| !matches!(row.cells.get(column), Some(Cell::Text(_)) | None));
        out += &format!("<th{}>{}</th>", if numeric { " class=\"n\"" } else { "" }, escape(title));
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in rows {
        out += &row.app.map_or("<tr>".to_owned(), |app| format!("<tr data-app=\"{app}\">"));
        row.cells.iter().for_each(|cell| out.push_str(&draw_cell(cell)));
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>");
    out
}

fn draw_cell(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => format!("<td>{}</td>", escape(text)),
        Cell::Number(text) => format!("<td class=\"n\">{}</td>", escape(text)),
        Cell::Bar(text, part, class) => {
            let percent = part.clamp(0.0, 1.0) * 100.0;
            let text = escape(text);
            format!(
                "<td class=\"n\">{text}<div class=\"meter\"><i class=\"{class}\" style=\"width:{percent:.1}%\"></i></div></td>"
            )
        }
    }
}
