//! Steps that no machine could do, found where they are rendered: arguments, paths and scripts that are too long, zero bytes,
//! and files that can't be uploaded.

use std::fs::File;
use std::path::Path;

use golem_sdk::script::{
    LARGEST_SCRIPT, LONGEST_ARGUMENT, LONGEST_NAME, LONGEST_PATH, ProgramProblem, check_argument, check_path,
};

use super::{RenderError, Scene, TaskData, Text};

/// The way out for what is too long for a command.
const INTO_A_FILE: &str = "put what is long into a file, with a step before such as upload_text = { text = \"{{ task }}\", to = \
    \"/golem/input/task.txt\" }, or with `upload`, and let the command read that file";
/// The way out for a zero byte.
const WITHOUT_ZERO: &str = "take it out of the task, or put the text into a file with `upload_text`";

/// Takes an argument, or the whole line of a shell, that a program can be given.
pub(in crate::job) fn argument(
    text: &Text,
    rendered: String,
    scene: &Scene<'_>,
) -> Result<String, RenderError> {
    let (reason, help) = match check_argument(&rendered) {
        Ok(()) => return Ok(rendered),
        Err(ProgramProblem::LongArgument(bytes)) => {
            let reason = format!(
                "it has {bytes} bytes, and Linux gives a program at most {LONGEST_ARGUMENT} in one argument; the line of a \
                 shell is one"
            );
            (reason, INTO_A_FILE)
        }
        Err(_) => ("it holds a zero byte, which no program can be given".to_owned(), WITHOUT_ZERO),
    };
    Err(text.refuse(reason, scene.task()).with_help(help))
}

/// Takes a path that a file can have.
pub(in crate::job) fn path(text: &Text, rendered: String, scene: &Scene<'_>) -> Result<String, RenderError> {
    let (reason, help) = match check_path(&rendered) {
        Ok(()) => return Ok(rendered),
        Err(ProgramProblem::LongPath(bytes)) => (
            format!("the path has {bytes} bytes, and a path has at most {LONGEST_PATH}"),
            "give the file a shorter name, such as one with {{ index }}",
        ),
        Err(ProgramProblem::LongName(bytes)) => (
            format!("a name in the path has {bytes} bytes, and a name has at most {LONGEST_NAME}"),
            "give the file a shorter name, such as one with {{ index }}",
        ),
        Err(_) => ("the path holds a zero byte".to_owned(), "take it out of the task"),
    };
    Err(text.refuse(reason, scene.task()).with_help(help))
}

/// Refuses a file of the host that can't be uploaded. It is opened, and not read.
pub(in crate::job) fn upload(text: &Text, from: &Path, task: Option<&TaskData>) -> Result<(), RenderError> {
    let problem = match std::fs::metadata(from) {
        // Asked before it is opened: opening a pipe would wait for its writer.
        Ok(found) if found.is_file() => match File::open(from) {
            Ok(_) => return Ok(()),
            Err(error) => format!("can't be uploaded: {error}"),
        },
        Ok(found) if found.is_dir() => "is a folder: upload an archive of it instead".to_owned(),
        Ok(_) => "is not a regular file, and can't be uploaded".to_owned(),
        Err(error) => format!("can't be uploaded: {error}"),
    };
    let refused = text.refuse(format!("`{}` {problem}", from.display()), task);
    Err(refused.with_help("paths are relative to the folder of the job file"))
}

/// The refusal of a script that no daemon takes.
pub(in crate::job) fn too_large(text: &Text, bytes: usize, task: Option<&TaskData>) -> RenderError {
    let reason = format!(
        "the commands of the steps have {bytes} bytes together, and the daemon takes at most {LARGEST_SCRIPT} at once"
    );
    text.refuse(reason, task).with_help(INTO_A_FILE)
}
