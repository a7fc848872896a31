//! Placeholder, not in git: remove before merging main.
