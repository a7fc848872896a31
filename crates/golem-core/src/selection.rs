//! A part of a run's tasks: by their numbers, and by what they are.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde_json::Value;

use crate::event::TaskId;
use crate::source::SourceDigest;

/// The tasks of a run that are to be done; all others are left for another time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    numbers: Vec<RangeInclusive<u64>>,
    data: BTreeSet<SourceDigest>,
}

impl Selection {
    /// Adds the tasks with these numbers.
    pub fn add_numbers(&mut self, numbers: RangeInclusive<u64>) {
        self.numbers.push(numbers);
    }

    /// Adds the tasks with this data.
    pub fn add_data(&mut self, data: SourceDigest) {
        self.data.insert(data);
    }

    /// True if the task is one of these.
    pub fn has(&self, task: TaskId, data: &Value) -> bool {
        self.has_number(task) || (!self.data.is_empty() && self.data.contains(&SourceDigest::of(data)))
    }

    /// True if the task is one of those that were named by their numbers.
    pub fn has_number(&self, task: TaskId) -> bool {
        self.numbers.iter().any(|numbers| numbers.contains(&task.0))
    }

    /// The number after the last one that was named.
    pub fn numbers_end(&self) -> u64 {
        self.numbers.iter().map(|numbers| numbers.end().saturating_add(1)).max().unwrap_or_default()
    }

    /// The data by which tasks were named.
    pub fn data(&self) -> &BTreeSet<SourceDigest> {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tasks_are_selected_by_number_and_by_data() {
        let mut selection = Selection::default();
        assert!(!selection.has(TaskId(0), &json!("a")) && selection.numbers_end() == 0);
        selection.add_numbers(4..=6);
        selection.add_numbers(1..=1);
        selection.add_data(SourceDigest::of(&json!("a")));
        let has: Vec<u64> = (0..9).filter(|n| selection.has(TaskId(*n), &json!("b"))).collect();
        assert_eq!(has, [1, 4, 5, 6]);
        assert!(selection.has(TaskId(8), &json!("a")) && !selection.has_number(TaskId(8)));
        assert_eq!(selection.numbers_end(), 7);
    }
}
