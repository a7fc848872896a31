//! Tables that fit where they are shown: long words are shortened first, titles are stacked next, and last whole columns
//! are left out, the least important one first, which is said. What can be an argument of a command is never shortened.

use std::fmt::Write as _;

use console::{measure_text_width, truncate_str};

use super::text::clean;

/// Between two columns.
const GAP: usize = 2;

/// The style of one column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    title: &'static str,
    right: bool,
    /// To how many characters its cells may be shortened; none: not at all.
    least: Option<usize>,
    /// Columns of the highest rank are left out first; those of rank 0 never.
    rank: u8,
}

/// Rows of text in columns.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Column {
    /// Text, to the left.
    pub(super) fn text(title: &'static str) -> Self {
        Self { title, right: false, least: None, rank: 0 }
    }

    /// Numbers, to the right.
    pub(super) fn number(title: &'static str) -> Self {
        Self { title, right: true, least: None, rank: 0 }
    }

    /// Its cells may be shortened to so many characters.
    pub(super) fn at_least(self, least: usize) -> Self {
        Self { least: Some(least), ..self }
    }

    /// It may be left out, before those of a lower rank.
    pub(super) fn rank(self, rank: u8) -> Self {
        Self { rank, ..self }
    }
}

impl Table {
    pub(super) fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row of as many cells as there are columns. What strangers wrote there can't steer the terminal.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<_> = cells.into_iter().map(|cell| clean(&cell).replace(['\n', '\t'], " ")).collect();
        debug_assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push(cells);
    }

    /// The table as text, within this many characters where there is a limit.
    pub(super) fn text(&self, width: Option<usize>) -> String {
        let room = width.unwrap_or(usize::MAX);
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        loop {
            if let Some(layout) = self.fitted(&shown, room) {
                return self.written(&shown, &layout);
            }
            let least_important = shown
                .iter()
                .enumerate()
                .filter(|(_, column)| self.columns[**column].rank > 0)
                .max_by_key(|(place, column)| (self.columns[**column].rank, *place))
                .map(|(place, _)| place);
            match least_important {
                Some(place) => drop(shown.remove(place)),
                // It is what it is: the terminal will wrap its lines.
                None => return self.written(&shown, &self.narrowest(&shown)),
            }
        }
    }

    /// Widths of these columns that fit, or none.
    fn fitted(&self, shown: &[usize], room: usize) -> Option<Layout> {
        let mut layout = Layout { widths: self.natural(shown, false), stacked: false };
        let least = self.narrowest(shown);
        while layout.width() > room {
            // The widest column that can be narrower gives way to the next one.
            let widest = (0..shown.len())
                .filter(|at| layout.widths[*at] > least.widths[*at])
                .filter(|at| layout.stacked || layout.widths[*at] > self.title_width(shown[*at], false))
                .max_by_key(|at| layout.widths[*at]);
            match widest {
                Some(at) => layout.widths[at] -= 1,
                None if !layout.stacked => {
                    let stacked = self.natural(shown, true);
                    layout.stacked = true;
                    for (width, natural) in layout.widths.iter_mut().zip(stacked) {
                        *width = natural.min(*width);
                    }
                }
                None => return None,
            }
        }
        Some(layout)
    }

    fn natural(&self, shown: &[usize], stacked: bool) -> Vec<usize> {
        shown.iter().map(|column| self.title_width(*column, stacked).max(self.cells_width(*column))).collect()
    }

    fn narrowest(&self, shown: &[usize]) -> Layout {
        let widths = shown
            .iter()
            .map(|column| {
                let cells = self.cells_width(*column);
                let cells = self.columns[*column].least.map_or(cells, |least| cells.min(least));
                cells.max(self.title_width(*column, true))
            })
            .collect();
        Layout { widths, stacked: true }
    }

    fn title_width(&self, column: usize, stacked: bool) -> usize {
        let title = self.columns[column].title;
        if stacked { words(title).map(str::len).max().unwrap_or(0) } else { title.len() }
    }

    fn cells_width(&self, column: usize) -> usize {
        self.rows.iter().map(|row| measure_text_width(&row[column])).max().unwrap_or(0)
    }

    fn written(&self, shown: &[usize], layout: &Layout) -> String {
        let mut text = String::new();
        let titles: Vec<Vec<&str>> = shown
            .iter()
            .map(|column| {
                let title = self.columns[*column].title;
                if layout.stacked { words(title).collect() } else { vec![title] }
            })
            .collect();
        let height = titles.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..height {
            let cells = titles.iter().map(|words| {
                // At the bottom, above the cells.
                (line + words.len()).checked_sub(height).map_or("", |word| words[word])
            });
            self.line(&mut text, shown, &layout.widths, cells);
        }
        for row in &self.rows {
            self.line(&mut text, shown, &layout.widths, shown.iter().map(|column| row[*column].as_str()));
        }
        let left_out: Vec<_> = (0..self.columns.len())
            .filter(|at| !shown.contains(at))
            .map(|at| self.columns[at].title)
            .collect();
        if !left_out.is_empty() {
            let _ = writeln!(text, "(no room for {})", left_out.join(", "));
        }
        text
    }

    fn line<'a>(
        &self,
        text: &mut String,
        shown: &[usize],
        widths: &[usize],
        cells: impl Iterator<Item = &'a str>,
    ) {
        let mut line = String::new();
        for ((cell, column), width) in cells.zip(shown).zip(widths) {
            if column != &shown[0] {
                line.push_str(&" ".repeat(GAP));
            }
            let cell = truncate_str(cell, *width, "…");
            let rest = " ".repeat(width.saturating_sub(measure_text_width(&cell)));
            let (before, after) =
                if self.columns[*column].right { (rest.as_str(), "") } else { ("", rest.as_str()) };
            let _ = write!(line, "{before}{cell}{after}");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// The widths of the columns.
#[derive(Debug)]
struct Layout {
    widths: Vec<usize>,
    /// Titles of several words take several lines.
    stacked: bool,
}

impl Layout {
    fn width(&self) -> usize {
        self.widths.iter().sum::<usize>() + GAP * self.widths.len().saturating_sub(1)
    }
}

/// The words of a title, each in a line of its own where titles are stacked.
fn words(title: &str) -> impl Iterator<Item = &str> {
    title.split_inclusive([' ', '/', '_']).map(str::trim_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(vec![
            Column::text("id").at_least(6),
            Column::number("tasks done"),
            Column::text("reason").at_least(8).rank(1),
            Column::number("price").rank(2),
        ]);
        for row in
            [["0123456789abcdef", "7", "all work is done", "0.25"], ["fedcba", "12345", "a\u{1b}[2Jb\nc", ""]]
        {
            table.row(row.map(str::to_owned));
        }
        table
    }

    #[test]
    fn a_table_is_narrowed_step_by_step_and_says_what_it_leaves_out() {
        let texts: Vec<_> = [None, Some(46), Some(34), Some(24), Some(5)]
            .into_iter()
            .map(|width| table().text(width))
            .collect();
        insta::assert_snapshot!(texts.join("----\n"));
    }

    #[test]
    fn lines_are_never_wider_than_they_may_be() {
        for width in 26..70 {
            for line in table().text(Some(width)).lines().filter(|line| !line.starts_with('(')) {
                assert!(measure_text_width(line) <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn wide_characters_keep_columns_straight() {
        let mut table = Table::new(vec![Column::text("name"), Column::text("x")]);
        table.row(["漢字".to_owned(), "1".to_owned()]);
        table.row(["abcd".to_owned(), "1".to_owned()]);
        assert_eq!(table.text(None), "name  x\n漢字  1\nabcd  1\n");
    }
}
