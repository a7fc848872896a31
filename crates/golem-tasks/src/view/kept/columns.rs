//! Columns of CSV that a user names: those that there always are, and fields of JSON in results, in what was printed, and
//! in the tasks themselves.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

use super::results::{CSV_HEADER, cell, csv};
use crate::store::ResultRow;

/// Fields that are named where a column isn't found.
const NAMED: usize = 20;

/// The columns to write, and which of them were found so far.
#[derive(Debug)]
pub(crate) struct Columns {
    columns: Vec<Column>,
    /// Rows that were written.
    rows: u64,
    /// Fields that were seen, while a column is still to be found.
    fields: BTreeSet<String>,
}

#[derive(Debug)]
struct Column {
    name: String,
    /// Its place among the columns that there always are.
    fixed: Option<usize>,
    found: bool,
}

/// Columns that no row has.
#[derive(Debug, thiserror::Error)]
#[error("no task has the field `{}`", missing.join("`, `"))]
pub(crate) struct NoSuchColumns {
    missing: Vec<String>,
    fields: Vec<String>,
}

impl NoSuchColumns {
    /// The advice about the columns that exist.
    pub(crate) fn advice(&self) -> String {
        let fields = if self.fields.is_empty() {
            String::new()
        } else {
            format!("; the fields are {}", self.fields.join(", "))
        };
        format!("the columns that every task has are {}{fields}", CSV_HEADER.join(", "))
    }
}

impl Columns {
    /// Columns by their names, in this order.
    pub(crate) fn new(names: &[String]) -> Self {
        let column = |name: &String| {
            let fixed = CSV_HEADER.iter().position(|fixed| fixed == name);
            Column { name: name.clone(), fixed, found: fixed.is_some() }
        };
        Self { columns: names.iter().map(column).collect(), rows: 0, fields: BTreeSet::new() }
    }

    /// The first line.
    pub(crate) fn header(&self) -> Vec<&str> {
        self.columns.iter().map(|column| column.name.as_str()).collect()
    }

    /// The line of a task. A field that it doesn't have is empty.
    pub(crate) fn row(&mut self, row: &ResultRow) -> Vec<Vec<u8>> {
        self.rows += 1;
        let fixed = csv(row);
        let sources = Sources::of(row, &fixed);
        let mut cells = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            let found = match column.fixed {
                Some(place) => Some(fixed[place].clone()),
                None => sources.find(&column.name).map(String::into_bytes),
            };
            column.found |= found.is_some();
            cells.push(found.unwrap_or_default());
        }
        if self.columns.iter().any(|column| !column.found) && self.fields.len() < NAMED {
            sources.add_fields(&mut self.fields);
        }
        cells
    }

    /// Checks that each column was found in a row, if there were rows.
    pub(crate) fn check(self) -> Result<(), NoSuchColumns> {
        let missing: Vec<_> =
            self.columns.into_iter().filter(|column| !column.found).map(|column| column.name).collect();
        if missing.is_empty() || self.rows == 0 {
            return Ok(());
        }
        Err(NoSuchColumns { missing, fields: self.fields.into_iter().take(NAMED).collect() })
    }
}

/// The places where fields are looked for, in this order.
struct Sources<'a>([(&'static str, Option<Cow<'a, Value>>); 3]);

impl<'a> Sources<'a> {
    fn of(row: &'a ResultRow, fixed: &[Vec<u8>]) -> Self {
        let printed = fixed[STDOUT].trim_ascii_start();
        let printed = matches!(printed.first(), Some(b'{' | b'['))
            .then(|| serde_json::from_slice(printed).ok())
            .flatten();
        Self([
            ("result", row.task.result.as_ref().map(Cow::Borrowed)),
            ("stdout", printed.map(Cow::Owned)),
            ("data", Some(Cow::Borrowed(&row.task.data))),
        ])
    }

    /// A field by its path: `pi`, `best.score`, or `data.seed`, which says where.
    fn find(&self, path: &str) -> Option<String> {
        let Self(sources) = self;
        if let Some((source, field)) = path.split_once('.')
            && let Some((_, source)) = sources.iter().find(|(name, _)| *name == source)
            && let Some(found) = source.as_deref().and_then(|source| field_of(source, field))
        {
            return Some(cell(found));
        }
        let found = sources.iter().find_map(|(_, source)| field_of(source.as_deref()?, path));
        found.map(cell)
    }

    fn add_fields(&self, fields: &mut BTreeSet<String>) {
        for (_, source) in &self.0 {
            if let Some(Value::Object(object)) = source.as_deref() {
                fields.extend(object.keys().cloned());
            }
        }
    }
}

/// The place of standard output among the columns that there always are.
const STDOUT: usize = 5;

/// The field at a path of names and of places in lists; a name may have dots in it.
fn field_of<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let child = |value: &'v Value, name: &str| match value {
        Value::Object(object) => object.get(name),
        Value::Array(list) => list.get(name.parse::<usize>().ok()?),
        _ => None,
    };
    child(value, path).or_else(|| {
        path.match_indices('.').find_map(|(dot, _)| field_of(child(value, &path[..dot])?, &path[dot + 1..]))
    })
}

#[cfg(test)]
mod tests {
    use golem_core::event::{Printed, TaskId};
    use serde_json::json;

    use super::*;
    use crate::store::{TaskRow, TaskStatus};

    fn row(data: Value, result: Value, stdout: &str) -> ResultRow {
        ResultRow {
            task: TaskRow {
                task: TaskId(4),
                data,
                status: TaskStatus::Done,
                no_result: false,
                attempts: 1,
                result: Some(result),
                stdout: stdout.into(),
                stderr: Printed::default(),
                failure: None,
                provider: None,
                took: None,
            },
            provider: None,
            finished: None,
            cost: None,
        }
    }

    #[test]
    fn fields_come_from_results_from_what_was_printed_and_from_tasks() {
        let names =
            ["task", "pi", "seed", "best.score", "data.pi", "points.1", "a.b", "stdout"].map(str::to_owned);
        let mut columns = Columns::new(&names);
        assert_eq!(columns.header(), names);
        let printed = "{\"seed\": 7, \"points\": [1, 2], \"a.b\": null}\n";
        let cells =
            columns.row(&row(json!({ "pi": "?" }), json!({ "pi": 3.25, "best": { "score": "x" } }), printed));
        assert_eq!(cells, ["4", "3.25", "7", "x", "?", "2", "", printed.trim_end()].map(str::as_bytes));
        let cells = columns.row(&row(json!("plain"), Value::Null, "{ not JSON\n"));
        assert_eq!(cells, ["4", "", "", "", "", "", "", "{ not JSON"].map(str::as_bytes));
        assert!(columns.check().is_ok());
    }

    #[test]
    fn a_column_that_no_task_has_is_an_error_that_names_the_fields() {
        let mut columns = Columns::new(&["seeed".to_owned(), "task".to_owned()]);
        columns.row(&row(json!({ "seed": 1 }), json!({ "pi": 3 }), ""));
        let error = columns.check().unwrap_err();
        assert_eq!(error.to_string(), "no task has the field `seeed`");
        assert!(error.advice().ends_with("the fields are pi, seed"), "{}", error.advice());
        assert!(Columns::new(&["x".to_owned()]).check().is_ok(), "there were no rows");
    }
}
