//! The names that most programs need: `use golem_sdk::prelude::*;`.

pub use std::time::Duration;

pub use crate::budget::Budget;
pub use crate::context::WorkContext;
pub use crate::executor::{Executor, MapFailure};
pub use crate::payload::Vm;
pub use crate::{Error, Glm, Result};
