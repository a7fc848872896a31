//! `check`: is a job right, and what would it do?

use std::fmt::Write as _;
use std::time::Duration;

use golem_sdk::image::ImageName;
use golem_sdk::payload::WantedImage;

use crate::exit::{Exit, Failure};
use crate::job::{
    ENDLESS, Job, Limits, LineForm, Look, Mode, Payload, RenderedAction, RenderedStep, TaskData, TaskSource,
    Verdicts,
};
use crate::view::text::{plural, short};
use crate::work::AnyJob;

/// A task of a program's own job can't be read.
#[derive(Debug, thiserror::Error)]
#[error("the tasks can't be read: {0}")]
struct UnreadTasks(String);

/// Reads all tasks of a job file, and tells what a run of it would do, up to its first task rendered.
pub(super) fn of_file(job: &Job) -> Result<String, Failure> {
    describe(job)
}

/// Reads the tasks of a program's own job, the first ones where it isn't known how many there are, and tells what it would
/// keep to.
pub(super) fn of_job(job: &dyn AnyJob) -> Result<String, Failure> {
    let limits = Limits { results: job.results()?, ..job.limits()? };
    job.payload()?.check().map_err(|error| Failure::new(Exit::Usage, error))?;
    let opened = job.open()?;
    let total = opened.total;
    let most = if total.is_some() { usize::MAX } else { ENDLESS };
    let (mut first, mut count) = (None, 0_usize);
    for task in opened.tasks.take(most) {
        let task = task.map_err(|problem| Failure::new(Exit::Usage, UnreadTasks(problem)))?;
        count += 1;
        first.get_or_insert(task);
    }
    let mut text = "The job is valid.\n\n".to_owned();
    let _ = match (total, count == most) {
        (None, true) => writeln!(text, "tasks    {count} and more"),
        _ => writeln!(text, "tasks    {count}"),
    };
    if let Some(first) = first {
        let _ = writeln!(text, "         the first one is {}", short(&first.to_string()));
    }
    write_limits(&mut text, &limits);
    Ok(text)
}

fn describe(job: &Job) -> Result<String, Failure> {
    let wrong = |error: Box<dyn std::error::Error + Send + Sync>| Failure::new(Exit::Usage, error);
    let (first, count) = try_all(job)?;
    let mut text = format!("{} is valid.\n\n", job.path.display());
    let _ = writeln!(text, "machine  {}", machine(&job.payload));
    let _ = writeln!(text, "tasks    {}", tasks(job, count));
    if let TaskSource::Glob(pattern) = job.tasks.source() {
        let found = job.tasks.matches(pattern).map_err(|error| wrong(error.into()))?;
        if let Some(output) = found.outputs.first() {
            let n = plural(found.outputs.len() as u64, "more file");
            let _ = writeln!(
                text,
                "         {n} match, such as {}, and are not tasks: this job writes them itself",
                short(output)
            );
        }
    }
    write_limits(&mut text, &job.limits);
    write_verdicts(&mut text, &job.verdicts);
    if !job.setup.is_empty() {
        text.push_str("\nOnce on every provider:\n");
        for (step, mode) in job.setup.iter().zip(job.setup_modes()) {
            let _ = writeln!(text, "  {}", action(step, mode));
        }
    }
    if let Some(first) = first {
        let _ = writeln!(text, "\nFor the first task, {}:", short(&first.value.to_string()));
        for step in &job.steps {
            let rendered = step.render(&first).map_err(|error| wrong(error.into()))?;
            let _ = writeln!(text, "  {}", action(&rendered, step.mode(&rendered)));
        }
    }
    Ok(text)
}

fn write_limits(text: &mut String, limits: &Limits) {
    let providers = match limits.workers {
        1 => "1 provider".to_owned(),
        workers => format!("{workers} providers"),
    };
    let retries = match limits.retries {
        1 => "1 retry".to_owned(),
        retries => format!("{retries} retries"),
    };
    let _ = writeln!(
        text,
        "limits   {}, {} at once, {} for an attempt, {} after a failure, {} for an agreement",
        limits.budget.in_words(),
        providers,
        time(limits.task_timeout),
        retries,
        time(limits.expiration)
    );
    for (what, limit) in [
        ("a result on average", limits.max_price),
        ("an hour", limits.max_price_per_hour),
        ("the start", limits.max_start_price),
    ] {
        if let Some(limit) = limit {
            let _ = writeln!(text, "         at most {limit} GLM for {what}");
        }
    }
    if let Some(results) = limits.results {
        let results = crate::view::text::plural(results, "result");
        let _ = writeln!(text, "         stops after {results}");
    }
    if let Some(halt) = limits.halt {
        let _ = writeln!(text, "         stops when {halt} of its tasks have failed");
    }
}

fn write_verdicts(text: &mut String, verdicts: &Verdicts) {
    let Verdicts { give_up_on, retry_on, no_result_on, stop_when } = verdicts;
    if !give_up_on.is_empty() {
        let _ = writeln!(text, "         not tried again after exit code {give_up_on}");
    }
    if let Some(retry_on) = retry_on {
        let _ = writeln!(text, "         tried again only after exit code {retry_on}");
    }
    if !no_result_on.is_empty() {
        let _ = writeln!(text, "         no result with exit code {no_result_on}");
    }
    for stop in stop_when {
        let _ = writeln!(text, "         stops when {stop}");
    }
}

/// Reads every task and renders its steps, one after the other: the first one, and how many there are if they have
/// an end.
fn try_all(job: &Job) -> Result<(Option<TaskData>, Option<u64>), Failure> {
    let endless = matches!(job.tasks.source(), TaskSource::Range { end: None, .. });
    let most = if endless { ENDLESS } else { usize::MAX };
    let tasks = job.tasks.open().map_err(|error| Failure::new(Exit::Usage, error))?;
    let (mut first, mut count) = (None, 0);
    let mut look = Look::new(job);
    for task in tasks.take(most) {
        let task = task.map_err(|error| Failure::new(Exit::Usage, error))?;
        look.at(&task)?;
        count += 1;
        first.get_or_insert(task);
    }
    Ok((first, (!endless).then_some(count)))
}

fn machine(payload: &Payload) -> String {
    let machine = &payload.machine;
    let mut text = machine.runtime.clone();
    let _ = match &payload.image {
        Some(WantedImage::Named(ImageName::Tag(tag))) => write!(text, ", image {tag}"),
        Some(WantedImage::Named(ImageName::Hash(hash))) => write!(text, ", image {hash:.16}…"),
        Some(WantedImage::Known(image)) => write!(text, ", image {}", image.url),
        Some(WantedImage::File(path)) => write!(text, ", image {}", path.display()),
        _ => Ok(()),
    };
    if let Some(path) = &payload.manifest {
        let _ = write!(text, ", manifest {}", path.display());
    }
    let _ = write!(
        text,
        ", at least {} GiB memory, {} GiB storage, CPU threads: {}",
        machine.min_mem_gib, machine.min_storage_gib, machine.min_cpu_threads
    );
    if !machine.capabilities.is_empty() {
        let _ = write!(text, ", with {}", machine.capabilities.join(", "));
    }
    text
}

fn tasks(job: &Job, count: Option<u64>) -> String {
    let source = match job.tasks.source() {
        TaskSource::Values(_) => "from the job file".to_owned(),
        TaskSource::Range { start, end, step } => match end {
            Some(end) => match (i128::from(*end) - i128::from(*start) - i128::from(step.signum()))
                / i128::from(*step)
            {
                n if *step == 1 => format!("the numbers {start} to {}", i128::from(*start) + n),
                n => {
                    let last = i128::from(*start) + n * i128::from(*step);
                    format!("the numbers {start} to {last} in steps of {step}")
                }
            },
            None if *step == 1 => format!("the numbers from {start} on, without end"),
            None => format!("the numbers from {start} on in steps of {step}, without end"),
        },
        TaskSource::Lines(path) => format!("the lines of {}", path.display()),
        TaskSource::Csv(path) => format!("the records of {}", path.display()),
        TaskSource::Jsonl(path) => format!("the values in {}", path.display()),
        TaskSource::Glob(pattern) => format!("files that match {pattern}"),
        TaskSource::Input(form) => {
            let values = if *form == LineForm::Json { "values in" } else { "lines of" };
            return format!(
                "the {values} standard input, as they come\n         \
                 whether the steps fit them can't be checked before: `run` tells of one that they don't fit"
            );
        }
    };
    match count {
        Some(count) => format!("{count}: {source}"),
        None => source,
    }
}

fn action(step: &RenderedStep, mode: Option<Mode>) -> String {
    let mut text = match &step.action {
        RenderedAction::Run { program, args } => match (program.as_str(), args.as_slice()) {
            ("/bin/sh", [flag, line]) if flag == "-c" => format!("run            {}", short(line)),
            _ => format!("run            {}", short(&format!("{program} {}", args.join(" ")))),
        },
        RenderedAction::Upload { from, to } => format!("upload         {} to {to}", from.display()),
        RenderedAction::UploadJson { data, to } => {
            format!("upload_json    {} to {to}", short(&data.to_string()))
        }
        RenderedAction::UploadText { text, to } => format!("upload_text    {} bytes to {to}", text.len()),
        RenderedAction::Download { from, to } => format!("download       {from} to {}", to.display()),
        RenderedAction::DownloadJson { from, to: Some(to) } => {
            format!("download_json  {from}, also to {}", to.display())
        }
        RenderedAction::DownloadJson { from, to: None } => format!("download_json  {from}"),
    };
    if let Some(mode) = mode {
        let _ = write!(text, ", {mode}");
    }
    if let Some(timeout) = step.timeout {
        let _ = write!(text, "  (at most {})", time(timeout));
    }
    text
}

/// A time as job files write it.
fn time(time: Duration) -> String {
    jiff::SignedDuration::try_from(time).map_or_else(|_| "any time".to_owned(), |time| format!("{time:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_job_is_told_with_its_first_task() {
        let text = r#"
            [payload]
            image_tag = "golem/alpine:latest"
            [tasks]
            range = { start = 3, end = 10, step = 2 }
            [[setup]]
            run = "mkdir -p /golem/work"
            [[steps]]
            run = ["factor", "{{ task }}"]
            timeout = "5s"
            [[steps]]
            run = "echo {{ task }}"
            [limits]
            max_price_per_hour = "0.2"
        "#;
        let job = Job::parse(text, Path::new("job.toml")).unwrap();
        insta::assert_snapshot!(describe(&job).unwrap());
    }

    #[test]
    fn the_first_bad_task_is_named_wherever_it_is() {
        let folder = tempfile::TempDir::new().unwrap();
        let text = "[payload]\nimage_tag = \"golem/alpine:latest\"\n[tasks]\njsonl = \"tasks\"\n\
                    [[steps]]\nrun = \"echo {{ task.n }}\"\n";
        let good = "{\"n\":1}\n".repeat(5000);
        let told = |last: &str| {
            std::fs::write(folder.path().join("tasks"), format!("{good}{last}")).unwrap();
            let job = Job::parse(text, &folder.path().join("job.toml")).unwrap();
            describe(&job).map_err(|failure| {
                assert_eq!(failure.exit(), Exit::Usage);
                crate::view::report(&failure)
            })
        };
        let sound = told("{\"n\":2}\n").unwrap();
        assert!(sound.contains("tasks    5001: the values in tasks"), "{sound}");
        let broken = told("{\"n\":\n").unwrap_err();
        assert!(broken.contains("tasks:5001: not a JSON value"), "{broken}");
        let lacking = told("{\"m\":3}\n").unwrap_err();
        assert!(lacking.contains("task 5000, {\"m\":3}, doesn't fit the steps"), "{lacking}");
        assert!(lacking.contains("because: line 6, step 1 `run`, task 5000:"), "{lacking}");
    }
}
