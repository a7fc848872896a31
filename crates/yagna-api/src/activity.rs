//! Activities: what runs under an agreement, and the scripts sent to it.
//!
//! Base path `/activity-api/v1`. Without a `timeout` of its own each call would wait 5 s at the daemon, less
//! than many need; every request here carries one.

mod calls;
mod events;
mod script;

pub use calls::{
    ActivityState, ActivityUsage, CreateActivity, CreatedActivity, DestroyActivity, Exec,
    GetActivityAgreement, GetResults, GetState, GetUsage, ListActivities, PollResults, State, StatePair,
    StreamResults,
};
pub use events::{CommandResult, Outcome, Output, Progress, RuntimeEvent, RuntimeEventKind};
pub use script::{
    Capture, CaptureFormat, CaptureMode, Command, Deploy, DeployNetwork, Empty, ProgressArgs, Run, Script,
    Start, Transfer, Volumes,
};

/// The path of the activity API.
pub const BASE: &str = "/activity-api/v1";
