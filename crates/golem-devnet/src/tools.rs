//! The system's programs that the devnet uses.

use std::path::{Path, PathBuf};

/// The folders in which programs are looked for, whatever the host's own variable says.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Finds a program in [`PATH`].
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only namespaces need tools"))]
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    PATH.split(':').map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}
