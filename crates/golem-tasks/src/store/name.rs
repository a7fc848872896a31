//! The name of a task beside its number: the task itself, if it is short.

use serde_json::Value;

/// Characters of the longest name.
const LONGEST: usize = 60;

/// The task itself, where it is short and says more than its number.
pub(crate) fn task_name(task: u64, data: &Value) -> Option<String> {
    let name = match data {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let is_short = !name.trim().is_empty() && name.chars().nth(LONGEST).is_none();
    (is_short && name != task.to_string()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_task_is_called_by_itself_where_that_is_short_and_says_something() {
        for (task, data, name) in [
            (12, json!("scenes/shot 02.blend"), Some("scenes/shot 02.blend")),
            (3, json!({ "n": [1, 2], "seed": 7 }), Some(r#"{"n":[1,2],"seed":7}"#)),
            (3, json!(4.5), Some("4.5")),
            (3, json!(3), None),
            (3, json!("3"), None),
            (3, json!(" "), None),
            (3, Value::Null, None),
            (3, json!("x".repeat(61)), None),
        ] {
            assert_eq!(task_name(task, &data).as_deref(), name, "{data}");
        }
        assert!(task_name(0, &json!("ä".repeat(60))).is_some());
    }
}
