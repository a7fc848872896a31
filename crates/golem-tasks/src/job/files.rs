//! The files of all tasks of a job, seen together as the tasks are done.

use std::path::PathBuf;
use std::sync::{MutexGuard, PoisonError};

use super::host::{HostFiles, Role};
use super::steps::HostFile;
use super::{Job, RenderError, TaskData};

impl Job {
    /// Files of the database of runs, which no task may write.
    pub(crate) fn protect(&self, database: &[PathBuf]) {
        self.host().keep(database.iter().map(|path| (path.clone(), Role::Database)));
    }

    /// Takes note of the files of a task of this run.
    pub(super) fn note_files(
        &self,
        task: &TaskData,
        files: &[Option<HostFile>],
    ) -> Result<(), Box<RenderError>> {
        self.note_in(&mut self.host(), task, files)
    }

    pub(super) fn host(&self) -> MutexGuard<'_, HostFiles> {
        // Whoever panicked while holding it left at most a file too many in it.
        self.host.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_in(
        &self,
        host: &mut HostFiles,
        task: &TaskData,
        files: &[Option<HostFile>],
    ) -> Result<(), Box<RenderError>> {
        let noted = self.tasks.note_files(host, task, files);
        noted.map_err(|(step, clash)| Box::new(self.steps[step].refuse_file(&clash)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::exit::Exit;
    use crate::work::Job as _;

    fn job(folder: &Path, to: &str) -> Job {
        let text = format!(
            "[payload]\nimage_tag = \"golem/alpine:latest\"\n[tasks]\nrange = {{ start = 0 }}\n\
             [[steps]]\nrun = \"true\"\n[[steps]]\ndownload = {{ from = \"/golem/output/r\", to = \"{to}\" }}\n"
        );
        Job::parse(&text, &folder.join("job.toml")).unwrap()
    }

    fn rendered(job: &Job, index: u64) -> Result<(), String> {
        let task = TaskData { index, value: Value::from(index) };
        let files: Vec<_> = job.steps.iter().map(|step| step.render(&task).unwrap().action.file()).collect();
        job.note_files(&task, &files).map_err(|error| error.to_string())
    }

    #[test]
    fn a_clash_beyond_what_was_looked_at_is_found_when_the_task_is_rendered() {
        let folder = tempfile::tempdir().unwrap();
        let job = job(folder.path(), "out/{{ task % 2000 }}");
        job.look_through(&[], true).unwrap();
        assert!(rendered(&job, 17).is_ok());
        assert!(rendered(&job, 17).is_ok(), "another attempt");
        let told = rendered(&job, 2017).unwrap_err();
        assert!(
            told.starts_with("line 8, step 2 `download.to`") && told.contains("tasks 17 and 2017"),
            "{told}"
        );
    }

    #[test]
    fn tasks_that_were_done_in_an_earlier_life_of_the_run_count_and_those_of_another_run_dont() {
        let folder = tempfile::tempdir().unwrap();
        let job = job(folder.path(), "out/{{ task % 2000 }}");
        job.note_done(5, &Value::from(5));
        assert!(rendered(&job, 2005).unwrap_err().contains("tasks 5 and 2005 would both write"));
        assert!(rendered(&job, 2006).is_ok());
        drop(job.tasks());
        assert!(rendered(&job, 2005).is_ok());
    }

    #[test]
    fn a_database_is_written_by_no_task() {
        let folder = tempfile::tempdir().unwrap();
        let job = job(folder.path(), "{{ 'runs.db' if task == 7 else task }}");
        let refused = job.look_through(&[folder.path().join("runs.db")], true).unwrap_err();
        assert_eq!(refused.exit(), Exit::Usage);
        assert!(refused.to_string().contains("task 7 would write"), "{refused}");
        assert!(refused.to_string().ends_with("which is the database of runs"), "{refused}");
    }
}
