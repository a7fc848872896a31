//! The label of an executor's task in a run's events: its number in the executor's table, and its description.

use serde_json::{Map, Value};

const KEY: &str = "executor_task";
const DESCRIPTION: &str = "description";

/// The data of a task with this number.
pub(crate) fn of(key: u64, description: Option<String>) -> Value {
    let mut label = Map::new();
    label.insert(KEY.to_owned(), Value::from(key));
    if let Some(description) = description {
        label.insert(DESCRIPTION.to_owned(), Value::from(description));
    }
    Value::Object(label)
}

/// The number, of data that is an executor's.
pub(crate) fn key(data: &Value) -> Option<u64> {
    data.get(KEY)?.as_u64()
}

/// The description of a task, of data that is an executor's; empty where it has none.
pub(crate) fn description(data: &Value) -> Option<&str> {
    key(data)?;
    Some(data.get(DESCRIPTION).and_then(Value::as_str).unwrap_or_default())
}
