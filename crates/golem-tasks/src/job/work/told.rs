//! A step's failure in words: the step, its command, its end, and what may help.

use golem_core::event::FailureKind;
use golem_core::payload::Payload as Machine;
use yagna_api::activity::CommandResult;

use super::super::{Job, RenderedAction, RenderedStep};

/// So many characters of a command are told when it failed.
const QUOTED: usize = 80;

/// The kind of failure, and its words. What belongs to one task alone stands between backquotes.
pub(super) fn failed(job: &Job, step: &RenderedStep, result: &CommandResult) -> (FailureKind, String) {
    let what = match &step.action {
        RenderedAction::Run { program, args } => {
            let line = match (program.as_str(), args.as_slice()) {
                ("/bin/sh", [flag, line]) if flag == "-c" => line.clone(),
                _ => format!("{program} {}", args.join(" ")),
            };
            let hint = result.exit_code().and_then(|code| hint(code, &job.payload.machine));
            let hint = hint.map(|hint| format!(": {hint}")).unwrap_or_default();
            let message = format!("{} (`{}`) {}{hint}", name(step), quoted(&line), result.reason());
            return (FailureKind::CommandFailed, message);
        }
        RenderedAction::Upload { to, .. }
        | RenderedAction::UploadJson { to, .. }
        | RenderedAction::UploadText { to, .. } => format!("upload to `{to}`"),
        RenderedAction::Download { from, .. } | RenderedAction::DownloadJson { from, .. } => {
            format!("download of `{from}`")
        }
    };
    let said = result.reason();
    let is_download =
        matches!(step.action, RenderedAction::Download { .. } | RenderedAction::DownloadJson { .. });
    let is_missing =
        is_download && ["No such file", "doesn't exist"].iter().any(|words| said.contains(words));
    let missing = if is_missing { "the file is missing: " } else { "" };
    (FailureKind::TransferFailed, format!("{} ({what}): {missing}{said}", name(step)))
}

/// The step succeeded, and the end of its output is missing.
pub(super) fn incomplete(step: &RenderedStep) -> String {
    let line = match &step.action {
        RenderedAction::Run { args, .. } => args.last().map_or("", String::as_str),
        _ => "",
    };
    format!(
        "{} (`{}`) succeeded, but the end of its output didn't arrive: output incomplete",
        name(step),
        quoted(line)
    )
}

fn name(step: &RenderedStep) -> String {
    match step.number {
        0 => "a step of our own".to_owned(),
        number => format!("step {number}"),
    }
}

/// The usual cause of an exit code, and the remedy. Codes above 128 are signals.
fn hint(code: i32, machine: &Machine) -> Option<String> {
    let memory = machine.min_mem_gib;
    Some(match code {
        126 => "it was found and can't be executed: without an executable bit (an upload keeps that of the local file, and \
                `mode = \"755\"` sets it), or it is a script whose interpreter the image doesn't have"
            .to_owned(),
        127 => "a program isn't in the image, or isn't in its PATH; the image must have it, or a step must upload it"
            .to_owned(),
        132 => "an illegal instruction: the program was built for another kind of processor".to_owned(),
        134 => "the program aborted itself (SIGABRT)".to_owned(),
        137 => format!(
            "killed (SIGKILL), most often because memory ran out: the job asks for {memory} GiB, and a higher `min_mem_gib` in \
             [payload] asks for more"
        ),
        139 => format!(
            "a segmentation fault (SIGSEGV), most often a bug of the program, or a library that doesn't fit the image; \
             sometimes memory ran out: the job asks for {memory} GiB by `min_mem_gib`"
        ),
        143 => "asked to end (SIGTERM) by something on the provider's machine, which may be shutting down; another attempt \
                may do better"
            .to_owned(),
        _ => return None,
    })
}

/// The beginning of a command, enough to know it by.
fn quoted(line: &str) -> String {
    let line = line.trim_end();
    match line.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use yagna_api::Timestamp;
    use yagna_api::activity::Outcome;

    use super::*;

    fn result(message: &str) -> CommandResult {
        CommandResult {
            index: 0,
            result: Outcome::Error,
            stdout: None,
            stderr: None,
            message: Some(message.to_owned()),
            is_batch_finished: true,
            event_date: Timestamp::UNIX_EPOCH,
        }
    }

    fn step(number: usize, action: RenderedAction) -> RenderedStep {
        RenderedStep { number, action, timeout: None }
    }

    fn shell(line: &str) -> RenderedAction {
        RenderedAction::Run { program: "/bin/sh".to_owned(), args: vec!["-c".to_owned(), line.to_owned()] }
    }

    fn job() -> Job {
        let text = "[payload]\nimage_tag = \"golem/alpine:latest\"\nmin_mem_gib = 1.5\n[tasks]\nvalues = [1]\n\
                    [[steps]]\nrun = \"x\"\n";
        Job::parse(text, std::path::Path::new("job.toml")).unwrap()
    }

    #[test]
    fn a_failure_names_its_step_and_speaks_of_the_exit_code_alone() {
        let said = result("ExeScript command exited with code 1");
        let (kind, told) = failed(&job(), &step(2, shell("false # 7")), &said);
        assert_eq!(
            (kind, told.as_str()),
            (FailureKind::CommandFailed, "step 2 (`false # 7`) exited with code 1")
        );
        let upload = RenderedAction::UploadText { text: String::new(), to: "/golem/a".to_owned() };
        let (kind, told) = failed(&job(), &step(1, upload), &result("no space"));
        assert_eq!(
            (kind, told.as_str()),
            (FailureKind::TransferFailed, "step 1 (upload to `/golem/a`): no space")
        );
    }

    #[test]
    fn exit_codes_that_say_more_than_that_it_failed_have_a_hint_with_what_the_job_asks_for() {
        let job = job();
        for (code, hint) in [
            (126, "mode = \"755\""),
            (127, "isn't in the image"),
            (137, "the job asks for 1.5 GiB, and a higher `min_mem_gib`"),
            (139, "the job asks for 1.5 GiB by `min_mem_gib`"),
            (143, "SIGTERM"),
        ] {
            let said = result(&format!("ExeScript command exited with code {code}"));
            let (_, told) = failed(&job, &step(1, shell("x")), &said);
            assert!(told.starts_with(&format!("step 1 (`x`) exited with code {code}: ")), "{told}");
            assert!(told.contains(hint), "{told}");
        }
        assert!((1..=125).chain([128, 130, 255]).all(|code| hint(code, &job.payload.machine).is_none()));
    }

    #[test]
    fn a_long_command_is_cut_between_characters() {
        assert_eq!(quoted("echo ä\n"), "echo ä");
        assert_eq!(quoted(&"ä".repeat(QUOTED)), "ä".repeat(QUOTED));
        assert_eq!(quoted(&"ä".repeat(QUOTED + 1)), format!("{}…", "ä".repeat(QUOTED)));
    }
}
