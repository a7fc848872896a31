//! Limits of what can be sent to a provider at all: those of Linux, and that of the daemon.

use yagna_api::activity::{Command, Exec};

/// The most bytes in one argument of a program. Linux takes 128 KiB with the zero byte at its end.
pub const LONGEST_ARGUMENT: usize = 131_071;
/// The most bytes in a path.
pub const LONGEST_PATH: usize = 4095;
/// The most bytes in one name of a path.
pub const LONGEST_NAME: usize = 255;
/// The most bytes in a script with all its arguments, as it is sent to the daemon.
pub const LARGEST_SCRIPT: usize = Exec::LARGEST_BODY;

/// The address of a file that is served, as far as its length goes.
const ADDRESS: usize =
    "gftp://0x0123456789012345678901234567890123456789/01234567890123456789012345678901".len();

/// Checks that a program can be given this argument.
///
/// **Errors**: [`ProgramProblem::Zero`], [`ProgramProblem::LongArgument`].
pub fn check_argument(argument: &str) -> Result<(), ProgramProblem> {
    if argument.contains('\0') {
        return Err(ProgramProblem::Zero);
    }
    match argument.len() {
        0..=LONGEST_ARGUMENT => Ok(()),
        bytes => Err(ProgramProblem::LongArgument(bytes)),
    }
}

/// Checks that a file can have this path.
///
/// **Errors**: [`ProgramProblem::ZeroInPath`], [`ProgramProblem::LongPath`], [`ProgramProblem::LongName`].
pub fn check_path(path: &str) -> Result<(), ProgramProblem> {
    if path.contains('\0') {
        return Err(ProgramProblem::ZeroInPath);
    }
    if path.len() > LONGEST_PATH {
        return Err(ProgramProblem::LongPath(path.len()));
    }
    match path.split('/').map(str::len).find(|bytes| *bytes > LONGEST_NAME) {
        Some(bytes) => Err(ProgramProblem::LongName(bytes)),
        None => Ok(()),
    }
}

/// Something that can't be sent to a provider as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramProblem {
    /// A variable's name is empty, begins with `-`, or holds `=` or a zero byte.
    #[error("`{0}` is not a valid name for an environment variable")]
    VariableName(String),
    /// The value of a variable holds a zero byte.
    #[error("the value of `{0}` holds a zero byte")]
    VariableValue(String),
    /// The program or an argument holds a zero byte.
    #[error("the program or an argument holds a zero byte")]
    Zero,
    /// One argument, such as the whole line of a shell, is longer than Linux allows.
    #[error(
        "an argument has {0} bytes, and Linux gives a program at most {LONGEST_ARGUMENT} in one: send what is long as a file"
    )]
    LongArgument(usize),
    /// A path holds a zero byte.
    #[error("the path holds a zero byte")]
    ZeroInPath,
    /// A path is longer than Linux allows.
    #[error("the path has {0} bytes, and Linux takes at most {LONGEST_PATH}")]
    LongPath(usize),
    /// A name in a path is longer than Linux allows.
    #[error("a name in the path has {0} bytes, and Linux takes at most {LONGEST_NAME}")]
    LongName(usize),
}

/// The size in bytes of a script on its way to the daemon. `files` of its transfers have no addresses yet.
pub(crate) fn size(commands: &[Command], files: usize) -> usize {
    Exec::body_size(commands) + files * ADDRESS
}
