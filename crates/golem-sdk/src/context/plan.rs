//! A script as it is sent: its commands, and the files that they move.

use yagna_api::activity::Command as WireCommand;

use crate::script::{Source, Target};

/// The commands of a script, and the files that they move.
#[derive(Debug)]
pub(super) struct Planned {
    /// Without the addresses of the files.
    pub(super) commands: Vec<WireCommand>,
    /// By the commands' places.
    pub(super) files: Vec<(usize, Moved)>,
}

/// A file on its way.
#[derive(Debug)]
pub(super) enum Moved {
    Offered(Source),
    Received(Target),
}
