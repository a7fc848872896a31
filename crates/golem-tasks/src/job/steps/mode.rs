//! The permissions of uploaded files. Transfers carry none, so that a command after the upload sets them.

use std::fmt;
use std::path::Path;

use super::{RenderedAction, RenderedStep};
use crate::job::document::{Diagnostics, Entry};
use crate::job::template::shell_word;

/// The permissions that an uploaded file gets on the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Those that the job file names.
    Given(u32),
    /// It can be executed, as the local file can.
    Executable,
}

impl Mode {
    /// The permissions for what a step uploads; none where nobody asks for any.
    pub(in crate::job) fn of(step: &RenderedStep, given: Option<u32>) -> Option<Self> {
        let local = || match &step.action {
            RenderedAction::Upload { from, .. } if is_executable(from) => Some(Self::Executable),
            _ => None,
        };
        given.map(Self::Given).or_else(local)
    }

    /// The step that sets it, behind the upload and under its number.
    fn step(self, upload: &RenderedStep) -> Option<RenderedStep> {
        let to = shell_word(upload.action.uploaded_to()?).ok()?;
        let line = match self {
            Self::Given(mode) => format!("chmod {mode:o} {to}"),
            // Nobody has asked for it: an image without `chmod` may not need it either.
            Self::Executable => format!("chmod a+x {to} 2>/dev/null || :"),
        };
        let args = vec!["-c".to_owned(), line];
        let action = RenderedAction::Run { program: "/bin/sh".to_owned(), args };
        Some(RenderedStep { number: upload.number, action, timeout: None })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(mode) => write!(f, "mode {mode:o}"),
            Self::Executable => f.write_str("executable as the local file"),
        }
    }
}

/// These steps, with those that set the modes of uploads.
pub(in crate::job) fn with_modes(
    steps: Vec<RenderedStep>,
    mode: impl Fn(usize, &RenderedStep) -> Option<Mode>,
) -> Vec<RenderedStep> {
    let mut all = Vec::with_capacity(steps.len());
    for (place, step) in steps.into_iter().enumerate() {
        let sets_mode = mode(place, &step).and_then(|mode| mode.step(&step));
        all.push(step);
        all.extend(sets_mode);
    }
    all
}

/// Reads the key `mode` of an upload.
pub(in crate::job) fn read(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<u32> {
    let text = entry.as_str().unwrap_or_default();
    let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| is_octal);
    if mode.is_none() {
        diagnostics.report_with_help(
            entry.span(),
            "`mode` must be a string of three or four octal digits",
            "for example mode = \"755\" for a program, \"644\" for other files",
        );
    }
    mode
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o111 != 0)
}

/// Elsewhere files have no such bit.
#[cfg(not(unix))]
fn is_executable(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_mode_is_set_behind_its_upload_and_under_its_number() {
        let upload = |number, to: &str, timeout| RenderedStep {
            number,
            action: RenderedAction::UploadText { text: String::new(), to: to.to_owned() },
            timeout,
        };
        let steps = vec![
            upload(1, "/golem/work/a b", Some(Duration::from_secs(1))),
            upload(2, "/golem/work/c", None),
            upload(3, "/golem/work/d", None),
        ];
        let modes = [Some(Mode::Given(0o755)), None, Some(Mode::Executable)];
        let all = with_modes(steps, |place, _| modes[place]);
        assert_eq!(all.iter().map(|step| step.number).collect::<Vec<_>>(), [1, 1, 2, 3, 3]);
        let lines: Vec<_> = all
            .iter()
            .filter_map(|step| match &step.action {
                RenderedAction::Run { args, .. } => Some(args[1].as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(lines, ["chmod 755 '/golem/work/a b'", "chmod a+x /golem/work/d 2>/dev/null || :"]);
        assert_eq!(all[1].timeout, None, "it needs no script of its own");
    }
}
