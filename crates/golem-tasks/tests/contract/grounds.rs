//! Where scenarios are played, and what the grounds share.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::rig::Rig;

/// A place to play a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    /// The devnet, called within the process.
    Inside,
    /// The devnet over TCP.
    Http,
    /// Two real daemons.
    Daemons,
}

impl Ground {
    pub(crate) const ALL: [Self; 3] = [Self::Inside, Self::Http, Self::Daemons];
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inside => "inside",
            Self::Http => "http",
            Self::Daemons => "daemons",
        })
    }
}

/// What all scenarios share: the two daemons, started by the first scenario that needs them.
#[derive(Debug)]
pub(crate) struct Grounds {
    program: Option<PathBuf>,
    rig: OnceCell<Arc<Rig>>,
}

impl Grounds {
    pub(crate) fn new(program: Option<PathBuf>) -> Self {
        Self { program, rig: OnceCell::new() }
    }

    pub(crate) fn has(&self, ground: Ground) -> bool {
        ground != Ground::Daemons || self.program.is_some()
    }

    /// The two daemons that most scenarios share.
    pub(crate) async fn rig(&self) -> Arc<Rig> {
        Arc::clone(self.rig.get_or_init(|| async { Arc::new(Rig::start(self.program(), 0).await) }).await)
    }

    /// Two daemons for one scenario alone.
    pub(crate) async fn rig_of_its_own(&self, place: u16) -> Arc<Rig> {
        Arc::new(Rig::start(self.program(), place).await)
    }

    /// Ends the shared daemons.
    pub(crate) fn end(&self) {
        if let Some(rig) = self.rig.get() {
            rig.stop();
        }
    }

    fn program(&self) -> PathBuf {
        self.program.clone().expect("scenarios are only played on grounds that are there")
    }
}
