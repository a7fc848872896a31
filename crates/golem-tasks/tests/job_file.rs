//! Job files as their users meet them: what is read, what is refused, and what the refusal says.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic as tests do")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use golem_sdk::image::ImageName;
use golem_sdk::payload::{Image, WantedImage};
use golem_tasks::job::{
    Job, JobError, Limits, RenderedAction, RenderedStep, SourceError, TaskData, TaskSource,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const PAYLOAD: &str = "[payload]\nimage_tag = \"golem/alpine:latest\"\n";
const TASKS: &str = "[tasks]\nvalues = [1, 2]\n";
const STEPS: &str = "[[steps]]\nrun = \"echo {{ task }}\"\n";

fn parse(text: &str) -> Result<Job, JobError> {
    Job::parse(text, Path::new("job.toml"))
}

/// The message for a job file that is refused.
fn refused(text: &str) -> String {
    parse(text).expect_err("the job file should be refused").to_string()
}

/// A whole job with these steps.
fn with_steps(steps: &str) -> String {
    format!("{PAYLOAD}{TASKS}{steps}")
}

/// A whole job with these tasks.
fn with_tasks(tasks: &str) -> String {
    format!("{PAYLOAD}{tasks}{STEPS}")
}

fn with_limits(limits: &str) -> String {
    format!("{PAYLOAD}{TASKS}{STEPS}[limits]\n{limits}\n")
}

fn folder_with(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn parse_in(folder: &TempDir, text: &str) -> Result<Job, JobError> {
    Job::parse(text, &folder.path().join("job.toml"))
}

/// The message with the temporary folder's name taken out.
fn refused_in(folder: &TempDir, text: &str) -> String {
    let message = parse_in(folder, text).expect_err("the job file should be refused").to_string();
    message.replace(&format!("{}/", folder.path().display()), "")
}

fn values(job: &Job) -> Vec<Value> {
    job.tasks.open().unwrap().map(|task| task.unwrap().value).collect()
}

fn render(job: &Job, task: Value) -> Vec<RenderedAction> {
    let task = TaskData { index: 0, value: task };
    job.steps.iter().map(|step| step.render(&task).unwrap().action).collect()
}

fn shell(line: &str) -> RenderedAction {
    RenderedAction::Run { program: "/bin/sh".to_owned(), args: vec!["-c".to_owned(), line.to_owned()] }
}

// What is read.

#[test]
fn a_job_file_of_few_lines_has_sensible_defaults() {
    let job = parse(&format!("{PAYLOAD}{TASKS}{STEPS}")).unwrap();
    assert_eq!(job.payload.machine.runtime, "vm");
    assert_eq!(job.payload.image, Some(WantedImage::Named(ImageName::Tag("golem/alpine:latest".to_owned()))));
    assert_eq!((job.payload.machine.min_mem_gib, job.payload.machine.min_storage_gib), (0.5, 2.0));
    assert_eq!(job.payload.machine.min_cpu_threads, 1);
    assert!(job.payload.machine.capabilities.is_empty());
    assert_eq!(job.limits, Limits::default());
    assert_eq!(job.limits.task_timeout, Duration::from_secs(600));
    assert_eq!((job.limits.retries, job.limits.workers), (3, 5));
    assert_eq!(job.limits.budget.to_string(), "1");
    let caps = [job.limits.max_start_price, job.limits.max_price_per_hour];
    assert_eq!(caps.map(|cap| cap.unwrap().to_string()), ["0.5", "5"]);
    assert_eq!(job.limits.expiration, Duration::from_secs(3600));
    assert_eq!(job.limits.idle_timeout, Duration::from_secs(900));
    assert!(job.setup.is_empty());
    assert_eq!(job.steps.len(), 1);
}

/// The golem crate's own test files: keys, certificates, a manifest and its signature.
fn manifest_files() -> TempDir {
    let files = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../golem-sdk/src/manifest/tests");
    let folder = TempDir::new().unwrap();
    for file in fs::read_dir(files).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    folder
}

#[test]
fn a_manifest_comes_with_what_proves_it() {
    let folder = manifest_files();
    for (proof, signed) in [
        ("", false),
        ("manifest_key = \"leaf.key.pem\"\nmanifest_certificate = \"leaf.cert.pem\"\n", true),
        ("manifest_signature = \"manifest.signature\"\nmanifest_certificate = \"leaf.cert.pem\"\n", true),
    ] {
        let text = format!("[payload]\nmanifest = \"manifest.json\"\n{proof}{TASKS}{STEPS}");
        let job = parse_in(&folder, &text).unwrap();
        let (Some(path), Some(WantedImage::Manifest(sealed))) = (job.payload.manifest, job.payload.image)
        else {
            panic!("{text}")
        };
        assert_eq!(path, folder.path().join("manifest.json"));
        assert_eq!(sealed.properties().text("golem.srv.comp.payload.sig").is_some(), signed);
    }
}

#[test]
fn a_manifest_that_is_refused_says_why() {
    let folder = manifest_files();
    fs::write(folder.path().join("text.json"), "hello").unwrap();
    let broken = fs::read_to_string(folder.path().join("manifest.json")).unwrap().replace("sha3:", "md5:");
    fs::write(folder.path().join("broken.json"), broken).unwrap();
    for (keys, words) in [
        ("manifest = \"none.json\"", "`none.json` can't be read"),
        ("manifest = \".\"", "is not a file"),
        ("manifest = \"text.json\"", "`manifest`: the manifest is neither JSON nor the base64 of it"),
        ("manifest = \"broken.json\"", "`manifest`: the manifest isn't right: the image's hash `md5:"),
        (
            "manifest = \"manifest.json\"\nmanifest_signature = \"manifest.json.signature\"\n\
             manifest_certificate = \"leaf.cert.pem\"",
            "`manifest_signature`: the signature isn't the certificate's for this manifest",
        ),
        (
            "manifest = \"manifest.json\"\nmanifest_key = \"root.key.pem\"\nmanifest_certificate = \"leaf.cert.pem\"",
            "`manifest_key`: the private key belongs to none of the certificates",
        ),
        (
            "manifest = \"manifest.json\"\nmanifest_key = \"leaf.encrypted.pem\"\n\
             manifest_certificate = \"leaf.cert.pem\"",
            "`manifest_key`: the private key has a passphrase",
        ),
        (
            "manifest = \"manifest.json\"\nmanifest_key = \"leaf.key.pem\"\nmanifest_certificate = \"leaf.key.pem\"",
            "`manifest_certificate`: there is no certificate in PEM",
        ),
    ] {
        let message = refused_in(&folder, &format!("[payload]\n{keys}\n{TASKS}{STEPS}"));
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn a_payload_may_say_and_ask_what_it_wants() {
    let folder = folder_with(&[("images/alpine.gvmi", "squash")]);
    let text = format!(
        r#"
        [payload]
        image_file = "images/alpine.gvmi"
        min_cpu_cores = 2
        constraints = ["(golem.inf.cpu.architecture=x86_64)"]
        [payload.properties]
        golem.example.share = 0.25
        "golem.example.words" = ["a", 1]
        {TASKS}{STEPS}"#
    );
    let job = parse_in(&folder, &text).unwrap();
    assert_eq!(job.payload.image, Some(WantedImage::File(folder.path().join("images/alpine.gvmi"))));
    assert_eq!(job.payload.machine.min_cpu_cores, Some(2));
    assert_eq!(job.payload.machine.constraints, ["(golem.inf.cpu.architecture=x86_64)"]);
    let properties = serde_json::to_value(&job.payload.machine.properties).unwrap();
    assert_eq!(properties, json!({ "golem.example.share": 0.25, "golem.example.words": ["a", 1] }));
}

#[test]
fn every_key_of_a_job_file_is_read() {
    let folder = folder_with(&[("scene.blend", "x")]);
    let hash = "9A3B5D67B0B27746283CB5F287C13EAB1BEAA12D92A9F536B747C7AE";
    let job = parse_in(
        &folder,
        &format!(
            r#"
            [payload]
            image_url = "https://example.com/image.gvmi"
            image_hash = "{hash}"
            runtime = "vm-nvidia"
            min_mem_gib = 4
            min_storage_gib = 10.5
            min_cpu_threads = 0b10
            capabilities = ["vpn", "inet"]

            [tasks]
            range = {{ start = 10, end = 0, step = -5 }}

            [[setup]]
            upload = {{ from = "scene.blend", to = "/golem/resource/scene.blend" }}
            timeout = "2m"
            [[setup]]
            run = ["chmod", "600", "/golem/resource/scene.blend"]

            [[steps]]
            upload_json = {{ data = {{ frame = "{{{{ task }}}}" }}, to = "/golem/input/frame.json" }}
            [[steps]]
            run = "render {{{{ task }}}}"
            timeout = "1h30m"
            [[steps]]
            download = {{ from = "/golem/output/out.png", to = "out/{{{{ task }}}}.png" }}
            [[steps]]
            download_json = {{ from = "/golem/output/stats.json" }}

            [limits]
            task_timeout = "500ms"
            retries = 0
            workers = 100
            budget = "2.000000000000000001"
            max_price = 0.1
            max_price_per_hour = 3
            max_start_price = "0"
            expiration = "24h"
            idle_timeout = "1m 30s"
            "#
        ),
    )
    .unwrap();
    let image = Image { url: "https://example.com/image.gvmi".to_owned(), hash: hash.to_lowercase() };
    assert_eq!(job.payload.image, Some(WantedImage::Known(image)));
    assert_eq!(job.payload.machine.runtime, "vm-nvidia");
    assert_eq!((job.payload.machine.min_mem_gib, job.payload.machine.min_storage_gib), (4.0, 10.5));
    assert_eq!(job.payload.machine.min_cpu_threads, 2);
    assert_eq!(job.payload.machine.capabilities, ["vpn", "inet"]);
    assert_eq!(job.tasks.source(), &TaskSource::Range { start: 10, end: Some(0), step: -5 });
    assert_eq!(values(&job), [json!(10), json!(5)]);
    assert_eq!(
        job.setup,
        [
            RenderedStep {
                number: 1,
                action: RenderedAction::Upload {
                    from: folder.path().join("scene.blend"),
                    to: "/golem/resource/scene.blend".to_owned()
                },
                timeout: Some(Duration::from_secs(120)),
            },
            RenderedStep {
                number: 2,
                action: RenderedAction::Run {
                    program: "chmod".to_owned(),
                    args: vec!["600".to_owned(), "/golem/resource/scene.blend".to_owned()]
                },
                timeout: None,
            },
        ]
    );
    assert_eq!(
        render(&job, json!(5)),
        [
            RenderedAction::UploadJson {
                data: json!({"frame": 5}),
                to: "/golem/input/frame.json".to_owned()
            },
            shell("render 5"),
            RenderedAction::Download {
                from: "/golem/output/out.png".to_owned(),
                to: folder.path().join("out/5.png")
            },
            RenderedAction::DownloadJson { from: "/golem/output/stats.json".to_owned(), to: None },
        ]
    );
    assert_eq!(job.steps[1].timeout(), Some(Duration::from_secs(5400)));
    let kinds: Vec<_> = job.steps.iter().map(golem_tasks::job::Step::kind).collect();
    assert_eq!(kinds, ["upload_json", "run", "download", "download_json"]);
    assert_eq!(job.limits.task_timeout, Duration::from_millis(500));
    assert_eq!((job.limits.retries, job.limits.workers), (0, 100));
    assert_eq!(job.limits.budget.to_string(), "2.000000000000000001");
    assert_eq!(job.limits.max_price.unwrap().to_string(), "0.1");
    assert_eq!(job.limits.max_price_per_hour.unwrap().to_string(), "3");
    assert!(job.limits.max_start_price.unwrap().is_zero());
    assert_eq!(job.limits.expiration, Duration::from_secs(86_400));
    assert_eq!(job.limits.idle_timeout, Duration::from_secs(90));
}

#[test]
fn money_is_read_as_it_is_written() {
    for (written, read) in [
        ("0.1", "0.1"),
        ("\"0.1\"", "0.1"),
        ("1e-3", "0.001"),
        ("1_000.5", "1000.5"),
        ("0.123456789012345678", "0.123456789012345678"),
        ("7", "7"),
    ] {
        let job = parse(&with_limits(&format!("budget = {written}"))).unwrap();
        assert_eq!(job.limits.budget.to_string(), read, "{written}");
    }
}

#[test]
fn a_short_expiration_shortens_the_default_task_timeout() {
    let job = parse(&with_limits("expiration = \"7m\"")).unwrap();
    assert_eq!(job.limits.task_timeout, Duration::from_secs(420));
}

#[test]
fn other_runtimes_need_no_image() {
    let job = parse(&format!("[payload]\nruntime = \"wasmtime\"\n{TASKS}{STEPS}")).unwrap();
    assert_eq!(job.payload.image, None);
}

#[test]
fn the_examples_are_good_job_files() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    // What is built may not be built yet.
    let built = folder_with(&[("target/debug/yacat-worker", "x")]);
    let mut n = 0;
    for folder in fs::read_dir(&examples).unwrap() {
        let folder = folder.unwrap();
        for name in ["job.toml", "for_ever.toml"] {
            let Ok(text) = fs::read_to_string(folder.path().join(name)) else { continue };
            let as_if = built.path().join("examples").join(folder.file_name()).join(name);
            fs::create_dir_all(as_if.parent().unwrap()).unwrap();
            Job::parse(&text, &as_if).unwrap_or_else(|error| panic!("{error}"));
            n += 1;
        }
    }
    assert_eq!(n, 3, "examples are job files");
    let job = Job::load(&examples.join("hello_world/job.toml")).unwrap();
    assert_eq!(job.tasks.len_hint(), Some(24));
    assert_eq!(render(&job, json!(3)), [shell("sleep 0.2"), shell("echo -n $(( 3 * 7 ))")]);
}

#[test]
fn the_guide_shows_good_job_files() {
    let guide = include_str!("../../../docs/job-file.md");
    let manifest = include_str!("../../golem-sdk/src/manifest/tests/manifest.json");
    let folder = folder_with(&[
        ("scene.blend", "x"),
        ("frames/0001.png", "x"),
        ("words.txt", "x\n"),
        ("manifest.json", manifest),
    ]);
    let mut shown = 0;
    for block in guide.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        // Parts of a job file are completed by what they leave out.
        let mut text = block.to_owned();
        for (section, missing) in [("[payload]", PAYLOAD), ("[tasks]", TASKS), ("[[steps]]", STEPS)] {
            if !block.lines().any(|line| line.trim_start().starts_with(section)) {
                text.push_str(missing);
            }
        }
        parse_in(&folder, &text).unwrap_or_else(|error| panic!("{error}\n\n{text}"));
        shown += 1;
    }
    assert!(shown >= 5, "only {shown} job files found in the guide");
}

// Sources.

#[test]
fn values_may_be_anything() {
    let text = with_tasks(
        "[tasks]\nvalues = [\"a\", 1, 0x1F, 1.5, true, [1], { b = { c = 2026-01-01 } }, 9223372036854775807]\n",
    );
    let job = parse(&text).unwrap();
    let read = values(&job);
    assert_eq!(
        read,
        [
            json!("a"),
            json!(1),
            json!(31),
            json!(1.5),
            json!(true),
            json!([1]),
            json!({"b": {"c": "2026-01-01"}}),
            json!(i64::MAX)
        ]
    );
    assert_eq!(job.tasks.len_hint(), Some(8));
}

#[test]
fn a_range_without_end_never_ends() {
    let job = parse(&with_tasks("[tasks]\nrange = { start = 5 }\n")).unwrap();
    assert_eq!(job.tasks.len_hint(), None);
    let last = job.tasks.open().unwrap().nth(1000).unwrap().unwrap();
    assert_eq!(last, TaskData { index: 1000, value: json!(1005) });
}

#[test]
fn files_are_read_beside_the_job_file() {
    let folder = folder_with(&[
        ("in/words.txt", "one\r\n\ntwo\n"),
        ("in/table.csv", "name,size\nx,1\ny,2\n"),
        ("in/data.jsonl", "{\"n\": 1}\n\n[2]\n"),
    ]);
    let read = |source: &str| {
        let job = parse_in(&folder, &with_tasks(&format!("[tasks]\n{source}\n"))).unwrap();
        let values = values(&job);
        assert_eq!(job.tasks.len_hint(), Some(values.len() as u64), "{source}");
        values
    };
    assert_eq!(read("lines = \"in/words.txt\""), ["one", "two"]);
    assert_eq!(
        read("csv = \"in/table.csv\""),
        [json!({"name": "x", "size": "1"}), json!({"name": "y", "size": "2"})]
    );
    assert_eq!(read("jsonl = \"in/data.jsonl\""), [json!({"n": 1}), json!([2])]);
    let absolute = folder.path().join("in/words.txt");
    assert_eq!(read(&format!("lines = '{}'", absolute.display())), ["one", "two"]);
}

#[test]
fn glob_finds_files_in_order_and_names_them_relative_to_the_job_file() {
    let folder = folder_with(&[
        ("frames/b/10.png", ""),
        ("frames/10.png", ""),
        ("frames/9.png", ""),
        ("frames/a.txt", ""),
        ("frames/.hidden.png", ""),
        ("frames/folder.png/inner", ""),
    ]);
    let read = |pattern: &str| {
        let job = parse_in(&folder, &with_tasks(&format!("[tasks]\nglob = '{pattern}'\n"))).unwrap();
        assert_eq!(job.tasks.len_hint(), Some(values(&job).len() as u64));
        values(&job)
    };
    assert_eq!(read("frames/*.png"), ["frames/10.png", "frames/9.png"]);
    assert_eq!(read("frames/**/*.png"), ["frames/10.png", "frames/9.png", "frames/b/10.png"]);
    let absolute = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    assert_eq!(read(&absolute("frames/9*")), [absolute("frames/9.png")]);
}

#[test]
fn glob_works_however_the_job_file_is_named() {
    for origin in
        ["tests/job.toml", "./tests/job.toml", "../golem-tasks/./tests/job.toml", "src/../tests/job.toml"]
    {
        for (pattern, found) in [
            ("job_*.rs", "job_file.rs"),
            ("./job_*.rs", "job_file.rs"),
            ("../tests/job_*.rs", "../tests/job_file.rs"),
        ] {
            let tasks = with_tasks(&format!("[tasks]\nglob = \"{pattern}\"\n"));
            let job = Job::parse(&tasks, Path::new(origin)).unwrap();
            assert_eq!(values(&job), [found], "{pattern} from {origin}");
        }
    }
}

#[test]
fn glob_takes_the_job_files_folder_literally() {
    let folder = folder_with(&[("odd [1]*/a.txt", ""), ("odd [1]*/job.toml", "")]);
    let origin = folder.path().join("odd [1]*/job.toml");
    let job = Job::parse(&with_tasks("[tasks]\nglob = \"*.txt\"\n"), &origin).unwrap();
    assert_eq!(values(&job), ["a.txt"]);
}

#[test]
fn a_long_file_is_neither_loaded_nor_slow_to_start() {
    let lines = "a task\n".repeat(100_000);
    // A line that is no text, far behind what is taken: whoever read the whole file would stumble over it.
    let mut bytes = lines.into_bytes();
    bytes.extend_from_slice(b"\xff\n");
    let folder = folder_with(&[]);
    fs::write(folder.path().join("long.txt"), &bytes).unwrap();
    let job = parse_in(&folder, &with_tasks("[tasks]\nlines = \"long.txt\"\n")).unwrap();
    let taken: Vec<_> = job.tasks.open().unwrap().take(3).map(|task| task.unwrap().index).collect();
    assert_eq!(taken, [0, 1, 2]);
    assert_eq!(job.tasks.len_hint(), Some(100_001));
    let mut all = job.tasks.open().unwrap();
    assert_eq!(all.by_ref().take(100_000).flatten().count(), 100_000);
    assert!(matches!(all.next(), Some(Err(SourceError::Malformed { line: 100_001, .. }))));
    assert!(all.next().is_none());
}

// Templates.

#[test]
fn templates_change_nothing_but_what_is_theirs() {
    for (template, task, rendered) in [
        ("echo -n $(( {{ task }} * 7 ))", json!(3), "echo -n $(( 3 * 7 ))"),
        ("echo ${#HOME} ${x%%.*} # {no} }}", json!(1), "echo ${#HOME} ${x%%.*} # {no} }}"),
        ("n={{ task }} ${#x}", json!(1), "n=1 ${#x}"),
        ("{{ task }}", json!(2.5), "2.5"),
        ("{{ task }}", json!(true), "true"),
        ("{{ task }}", json!("<a & 'b'>"), "<a & 'b'>"),
        ("{{ task }}", json!({"b": 1, "a": [null]}), r#"{"a":[null],"b":1}"#),
        ("cat {{ task | shell }}", json!("my file's"), r"cat 'my file'\''s'"),
        (
            "{{ task | basename }} {{ task | stem }} {{ task | extension }}",
            json!("a/b.tar.gz"),
            "b.tar.gz b.tar gz",
        ),
        ("echo {{ task | json | shell }}", json!("a \"b\""), r#"echo '"a \"b\""'"#),
        ("{{ task.x }}-{{ task['y z'] }}", json!({"x": 1, "y z": 2}), "1-2"),
        ("{{ '%04d' | format(task) }}", json!(7), "0007"),
        ("{% if task > 1 %}big{% else %}small{% endif %}", json!(2), "big"),
        ("{{ task.size | default(1) }}", json!({"x": 2}), "1"),
        ("{% if task.y is defined %}y{% endif %}x", json!({"x": 2}), "x"),
        ("{% for n in task %}{{ n }}{% if not loop.last %},{% endif %}{% endfor %}", json!([1, 2]), "1,2"),
        ("{% set n = task * 2 %}{{ n }}", json!(2), "4"),
        ("{{ index + 1 }}", json!(0), "1"),
        ("{% raw %}{{ kept }}{% endraw %}", json!(0), "{{ kept }}"),
    ] {
        let folder = folder_with(&[("task.jsonl", &task.to_string())]);
        let text =
            format!("{PAYLOAD}[tasks]\njsonl = \"task.jsonl\"\n[[steps]]\nrun = {}\n", toml_string(template));
        let job = parse_in(&folder, &text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(render(&job, task), [shell(rendered)], "{template}");
    }
}

#[test]
fn texts_are_kept_to_the_byte() {
    let job = parse(&with_steps(
        "[[steps]]\nupload_text = { text = \"\"\"\n  {{ task }}\n\n\"\"\", to = \"/golem/input/a\" }\n",
    ))
    .unwrap();
    let RenderedAction::UploadText { text, .. } = &render(&job, json!("x"))[0] else { panic!() };
    assert_eq!(text, "  x\n\n");
}

#[test]
fn json_keeps_types_where_a_string_is_one_template() {
    let job = parse(&with_steps(
        r#"
        [[steps]]
        [steps.upload_json]
        to = "/golem/input/{{ index }}.json"
        [steps.upload_json.data]
        whole = "{{ task }}"
        sum = "{{ index + 1 }}"
        text = "task {{ task }}"
        forced = "{{ task | string }}"
        list = ["{{ task }}", 1.5, true, { deep = "{{ [task, index] }}" }]
        "#,
    ))
    .unwrap();
    let RenderedAction::UploadJson { data, to } = &render(&job, json!(4))[0] else { panic!() };
    assert_eq!(
        data,
        &json!({"whole": 4, "sum": 1, "text": "task 4", "forced": "4", "list": [4, 1.5, true, {"deep": [4, 0]}]})
    );
    assert_eq!(to, "/golem/input/0.json");
}

#[test]
fn each_word_of_a_program_is_a_template_of_its_own() {
    let job = parse(&with_steps("[[steps]]\nrun = [\"/bin/{{ task }}\", \"a b\", \"{{ index }}\", \"\"]\n"))
        .unwrap();
    let args = ["a b", "0", ""].map(str::to_owned).to_vec();
    assert_eq!(render(&job, json!("tool")), [RenderedAction::Run { program: "/bin/tool".to_owned(), args }]);
}

#[test]
fn what_a_later_task_lacks_is_told_when_it_is_rendered() {
    let text = format!(
        "{PAYLOAD}[tasks]\nvalues = [{{ a = 1 }}, {{ b = 2 }}]\n\n[[steps]]\nrun = \"x\"\n[[steps]]\nrun = \"{{{{ task.a }}}}\"\n"
    );
    let job = parse(&text).unwrap();
    let task = TaskData { index: 1, value: json!({"b": 2}) };
    let error = job.steps[1].render(&task).unwrap_err();
    assert_eq!(error.to_string(), "line 9, step 2 `run`, task 1: the task has no column `a`");
    assert_eq!((error.line, error.task), (9, Some(1)));
}

#[test]
fn a_job_may_be_shared_between_threads() {
    fn assert_shared<T: Send + Sync + Clone + 'static>() {}
    assert_shared::<Job>();
}

fn toml_string(text: &str) -> String {
    format!("'''{text}'''")
}

fn job_path(folder: &TempDir) -> PathBuf {
    folder.path().join("job.toml")
}

// What is refused. Each message is a snapshot: it is what a user gets to see.

macro_rules! refusals {
    ($($name:ident: $text:expr;)*) => {
        $(#[test] fn $name() { insta::assert_snapshot!(refused(&$text)); })*
    };
}

refusals! {
    not_toml: "[payload\nimage_tag = \"a/b:c\"\n";
    not_toml_in_two_places: "[payload]\nruntime = vm\n[tasks]\nvalues = [1, 2\n";
    nothing_at_all: "";
    unknown_section: format!("{PAYLOAD}{TASKS}{STEPS}[limit]\nworkers = 1\n");
    unknown_section_for_steps: format!("{PAYLOAD}{TASKS}[[step]]\nrun = \"x\"\n");
    unknown_key: with_limits("worker = 3");
    unknown_key_of_another_section: with_tasks("[tasks]\nretries = 3\nvalues = [1]\n");
    unknown_key_like_nothing: format!("[payload]\ncolour = \"red\"\nimage_tag = \"a/b:c\"\n{TASKS}{STEPS}");
    unknown_key_in_a_step: with_steps("[[steps]]\ncommand = \"x\"\n");
    unknown_key_in_an_upload: with_steps("[[steps]]\nupload_text = { text = \"x\", dst = \"/a\" }\n");
    section_missing: format!("{PAYLOAD}{STEPS}");
    section_no_table: format!("payload = 1\n{TASKS}{STEPS}");
    section_as_list: format!("{PAYLOAD}{STEPS}[[tasks]]\nvalues = [1]\n");
    steps_as_section: with_steps("[steps]\nrun = \"x\"\n");
    steps_empty: format!("steps = []\n{PAYLOAD}{TASKS}");
    payload_without_image: format!("[payload]\nmin_mem_gib = 1\n{TASKS}{STEPS}");
    payload_named_twice: format!("[payload]\nimage_tag = \"a/b:c\"\nimage_hash = \"{}\"\n{TASKS}{STEPS}", "a".repeat(56));
    payload_url_without_hash: format!("[payload]\nimage_url = \"http://example.com/i\"\n{TASKS}{STEPS}");
    payload_bad_url: format!("[payload]\nimage_url = \"example.com/i\"\nimage_hash = \"{}\"\n{TASKS}{STEPS}", "a".repeat(56));
    payload_hash_of_wrong_length: format!("[payload]\nimage_hash = \"abc123\"\n{TASKS}{STEPS}");
    payload_hash_no_hex: format!("[payload]\nimage_hash = \"golem/alpine:latest\"\n{TASKS}{STEPS}");
    payload_hash_with_prefix: format!("[payload]\nimage_hash = \"sha3:{}\"\n{TASKS}{STEPS}", "a".repeat(56));
    payload_image_file_and_hash: format!("[payload]\nimage_hash = \"{}\"\nimage_file = \"a.gvmi\"\n{TASKS}{STEPS}", "a".repeat(56));
    payload_image_file_missing: format!("[payload]\nimage_file = \"a.gvmi\"\n{TASKS}{STEPS}");
    payload_manifest_and_tag: format!("[payload]\nmanifest = \"m.json\"\nimage_tag = \"a/b:c\"\n{TASKS}{STEPS}");
    payload_key_without_manifest: format!("[payload]\nimage_tag = \"a/b:c\"\nmanifest_key = \"k.pem\"\n{TASKS}{STEPS}");
    payload_key_without_certificate: format!("[payload]\nmanifest = \"m.json\"\nmanifest_key = \"k.pem\"\n{TASKS}{STEPS}");
    payload_certificate_alone: format!("[payload]\nmanifest = \"m.json\"\nmanifest_certificate = \"c.pem\"\n{TASKS}{STEPS}");
    payload_signed_twice: format!("[payload]\nmanifest = \"m.json\"\nmanifest_key = \"k.pem\"\nmanifest_signature = \"s\"\n{TASKS}{STEPS}");
    payload_bad_constraints: format!("{PAYLOAD}constraints = [\"(a=1\", \"(b=2)\", 3]\nproperties = 4\nmin_cpu_cores = 0\n{TASKS}{STEPS}");
    payload_numbers: format!("[payload]\nimage_tag = \"a/b:c\"\nmin_mem_gib = -1\nmin_cpu_threads = 0\nmin_storage_gib = \"2\"\ncapabilities = \"vpn\"\n{TASKS}{STEPS}");
    tasks_without_source: with_tasks("[tasks]\n\n");
    tasks_with_two_sources: with_tasks("[tasks]\nrange = { start = 0, end = 3 }\nvalues = [1]\n");
    tasks_empty_values: with_tasks("[tasks]\nvalues = []\n");
    tasks_empty_range: with_tasks("[tasks]\nrange = { start = 3, end = 3 }\n");
    tasks_backward_range: with_tasks("[tasks]\nrange = { start = 3, end = 0 }\n");
    tasks_range_step_zero: with_tasks("[tasks]\nrange = { start = 3, step = 0 }\n");
    tasks_range_no_table: with_tasks("[tasks]\nrange = 24\n");
    tasks_range_wrong_types: with_tasks("[tasks]\nrange = { start = \"0\", end = 2.5, stop = 3 }\n");
    tasks_values_no_list: with_tasks("[tasks]\nvalues = \"a, b\"\n");
    tasks_value_not_in_json: with_tasks("[tasks]\nvalues = [1, nan, 99999999999999999999]\n");
    tasks_missing_file: with_tasks("[tasks]\nlines = \"no/such/file.txt\"\n");
    tasks_bad_glob: with_tasks("[tasks]\nglob = \"a/***/b\"\n");
    tasks_glob_of_nothing: with_tasks("[tasks]\nglob = \"no/such/*.png\"\n");
    step_without_action: with_steps("[[steps]]\ntimeout = \"1s\"\n");
    step_with_two_actions: with_steps("[[steps]]\nrun = \"x\"\ndownload = { from = \"/a\", to = \"b\" }\n");
    step_run_of_wrong_type: with_steps("[[steps]]\nrun = 7\n[[steps]]\nrun = []\n[[steps]]\nrun = [\"sleep\", 1]\n[[steps]]\nrun = \"  \"\n");
    step_upload_of_wrong_shape: with_steps("[[steps]]\nupload = \"scene.blend\"\n[[steps]]\nupload = { from = \"a\" }\n");
    step_upload_of_missing_file: with_steps("[[steps]]\nupload = { from = \"frames/{{ task }}.png\", to = \"/golem/input/a.png\" }\n");
    step_upload_of_a_folder: with_steps("[[steps]]\nupload = { from = \".\", to = \"/golem/input/a.png\" }\n");
    step_relative_container_path: with_steps("[[steps]]\nupload_text = { text = \"x\", to = \"input/a.txt\" }\n");
    step_timeout_without_unit: with_steps("[[steps]]\nrun = \"x\"\ntimeout = 30\n[[steps]]\nrun = \"y\"\ntimeout = \"30\"\n[[steps]]\nrun = \"y\"\ntimeout = \"-1s\"\n[[steps]]\nrun = \"y\"\ntimeout = \"0s\"\n");
    setup_download: format!("{PAYLOAD}{TASKS}[[setup]]\ndownload = {{ from = \"/a\", to = \"b\" }}\n{STEPS}");
    setup_uses_task: format!("{PAYLOAD}{TASKS}[[setup]]\nrun = \"echo {{{{ task }}}}\"\n{STEPS}");
    setup_upload_of_missing_file: format!("{PAYLOAD}{TASKS}[[setup]]\nupload = {{ from = \"no.blend\", to = \"/golem/resource/no.blend\" }}\n{STEPS}");
    download_to_one_file: with_steps("[[steps]]\ndownload = { from = \"/golem/output/a\", to = \"result.txt\" }\n");
    download_json_to_one_file: with_steps("[[steps]]\ndownload_json = { from = \"/golem/output/a\", to = \"result.json\" }\n");
    download_twice_to_a_file: with_steps("[[steps]]\ndownload = { from = \"/a\", to = \"{{ task }}\" }\n[[steps]]\ndownload = { from = \"/b\", to = \"{{ index + 1 }}\" }\n");
    download_of_two_tasks_to_a_file: format!("{PAYLOAD}[tasks]\nvalues = [\"a/x.png\", \"b/x.png\"]\n[[steps]]\ndownload = {{ from = \"/a\", to = \"out/{{{{ task | basename }}}}\" }}\n");
    download_out_of_the_folder: format!("{PAYLOAD}[tasks]\nvalues = [\"../../x\", \"y\"]\n[[steps]]\ndownload = {{ from = \"/a\", to = \"out/{{{{ task }}}}\" }}\n");
    download_to_a_folder: with_steps("[[steps]]\ndownload = { from = \"/a\", to = \"out/{{ task }}/\" }\n");
    template_syntax: with_steps("[[steps]]\nrun = \"echo {{ task | }}\"\n");
    template_not_closed: with_steps("[[steps]]\nrun = \"echo {{ task \"\n");
    template_on_its_own_line: with_steps("[[steps]]\nrun = \"\"\"\necho hello\necho {{ task + }}\n\"\"\"\n");
    template_unknown_variable: with_steps("[[steps]]\nrun = \"echo {{ taks }} {{ frame }}\"\n");
    template_unknown_filter: with_steps("[[steps]]\nrun = \"echo {{ task | quote }}\"\n");
    template_unknown_column: format!("{PAYLOAD}[tasks]\nvalues = [{{ name = \"x\", size = 1 }}]\n[[steps]]\nrun = \"echo \\\"{{{{ task.nam | shell }}}}\\\"\"\n");
    template_column_of_no_table: with_steps("[[steps]]\nrun = \"echo {{ task.name }}\"\n");
    template_in_json: format!("{PAYLOAD}[tasks]\nvalues = [{{ name = \"x\" }}]\n[[steps]]\n[steps.upload_json]\nto = \"/golem/input/a\"\ndata = {{ a = [\"{{{{ task.size }}}}\"] }}\n");
    template_that_fails: with_steps("[[steps]]\nrun = \"{{ task + 'a' }}\"\n");
    limits_wrong_types: with_limits("workers = \"five\"\nretries = -1\ntask_timeout = 60\nexpiration = \"1 fortnight\"\nbudget = true");
    limits_money: with_limits("budget = \"1,5\"\nmax_price = -1\nmax_start_price = nan\nmax_price_per_hour = \"0.0000000000000000001\"");
    limits_no_budget: with_limits("budget = 0");
    limits_budget_of_a_week: with_limits("budget = \"3/w\"");
    limits_budget_twice: with_limits("budget = [\"3/h\", \"10\", \"2/h\"]");
    limits_on_budget: with_limits("on_budget = \"wait\"");
    limits_task_longer_than_run: with_limits("task_timeout = \"2h\"");
    limits_expiration_too_short: with_limits("expiration = \"5m\"");
    several_at_once: "[payload]\nimage_tag = 1\n[tasks]\nvalue = [1]\n[[steps]]\nrum = \"x\"\n[limits]\nworkers = 0\n";
    too_many_to_show: with_limits(&["a", "b", "c", "d"].map(|end| format!("x_{end} = 1\ny_{end} = 1\nz_{end} = 1\n")).concat());
}

#[test]
fn a_task_cannot_lead_its_download_out_of_the_folder() {
    let job = |to: &str| {
        let steps = format!("[[steps]]\ndownload = {{ from = \"/golem/output/a\", to = \"{to}\" }}\n");
        parse(&format!("{PAYLOAD}[tasks]\nvalues = [\"a\", \"b\"]\n{steps}")).unwrap()
    };
    for (to, task, allowed) in [
        ("out/{{ task }}", "x/y", true),
        ("out/{{ task }}", "../x", true),
        ("out/{{ task }}", "../../x", false),
        ("{{ task }}", "/etc/x", false),
        ("{{ task | basename }}", "/etc/x", true),
        ("../out/{{ task }}", "x", true),
        ("../out/{{ task }}", "../x", false),
        ("{% if index == 7 %}../{% endif %}{{ task }}", "x", true),
        ("{% set marked = task %}{{ marked }}", "../x", false),
        ("{% set name %}{{ task }}{% endset %}{{ name }}", "../x", false),
    ] {
        let data = TaskData { index: 7, value: json!(task) };
        match job(to).steps[0].render(&data) {
            Ok(_) => assert!(allowed, "{to} with {task}"),
            Err(error) => {
                assert!(!allowed, "{to} with {task}: {error}");
                assert_eq!(error.task, Some(7));
                assert!(error.to_string().contains("lead the download out of its folder"), "{error}");
            }
        }
    }
}

#[test]
fn a_lone_task_may_have_a_fixed_target() {
    let steps = "[[steps]]\ndownload = { from = \"/golem/output/a\", to = \"result.txt\" }\n";
    let job = parse(&format!("{PAYLOAD}[tasks]\nvalues = [7]\n{steps}")).unwrap();
    let to = PathBuf::from("result.txt");
    assert_eq!(render(&job, json!(7)), [RenderedAction::Download { from: "/golem/output/a".to_owned(), to }]);
}

#[test]
fn line_ends_of_windows_change_nothing() {
    let text = with_steps("[[steps]]\nrun = \"\"\"\necho hello\necho {{ task.x }}\n\"\"\"\n");
    let message = refused(&text);
    assert!(message.starts_with("job.toml:8:9: the task is not a table"), "{message}");
    assert_eq!(refused(&text.replace('\n', "\r\n")), message);
    assert_eq!(refused(&format!("\u{feff}{text}")), message);
}

#[test]
fn problems_can_be_read_one_by_one() {
    let Err(JobError::Invalid(problems)) = parse(&with_limits("worker = 3\nretries = -1")) else { panic!() };
    let places: Vec<_> = problems.list().iter().map(|found| found.place.as_ref().unwrap()).collect();
    assert_eq!(places.iter().map(|place| (place.line, place.column)).collect::<Vec<_>>(), [(8, 1), (9, 11)]);
    assert_eq!(problems.list()[0].help.as_deref(), Some("did you mean `workers`?"));
}

#[test]
fn a_job_file_cut_anywhere_is_read_or_refused_but_never_trips() {
    let whole = format!(
        "{PAYLOAD}{TASKS}[[setup]]\nrun = [\"a\", 'b']\n[[steps]]\nrun = \"\\u017c {{{{ task | shell }}}} \\\"ż\"\n\
         [[steps]]\nupload_json = {{ data = {{ a = [\"{{{{ index }}}}\", \"\"\"\nx \\\n {{{{ task }}}}\"\"\"] }}, to = '/a' }}\n\
         [limits]\nbudget = 1.5e0\ntask_timeout = \"1m\"\n"
    );
    parse(&whole).unwrap();
    for (at, _) in whole.char_indices() {
        let without: String =
            whole.char_indices().filter(|(other, _)| *other != at).map(|(_, c)| c).collect();
        for text in [&whole[..at], &without] {
            if let Err(error) = parse(text) {
                assert!(error.to_string().starts_with("job.toml"), "{text}");
            }
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_said_so() {
    let folder = folder_with(&[]);
    let error = Job::load(&job_path(&folder)).unwrap_err();
    assert!(error.to_string().starts_with("can't read the job file `"), "{error}");
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.to_string().contains("No such file"), "{source}");
}

#[test]
fn a_file_that_is_no_text_is_said_so() {
    let folder = folder_with(&[]);
    fs::write(job_path(&folder), b"[payload]\n# caf\xe9\n").unwrap();
    let message = Job::load(&job_path(&folder)).unwrap_err().to_string();
    assert!(message.ends_with("job.toml:2: the job file is not UTF-8 text: save it as UTF-8"), "{message}");
}

#[test]
fn sources_that_make_no_sense_are_refused_with_their_own_line() {
    let folder = folder_with(&[
        ("empty.txt", "\n\r\n"),
        ("header.csv", "a,b\n"),
        ("odd.csv", "a,b\n1\n"),
        ("bad.jsonl", "\n{\"a\" 1}\n"),
        ("folder/file", ""),
    ]);
    let messages: Vec<String> = [
        "lines = \"empty.txt\"",
        "jsonl = \"empty.txt\"",
        "csv = \"empty.txt\"",
        "csv = \"header.csv\"",
        "csv = \"odd.csv\"",
        "jsonl = \"bad.jsonl\"",
        "lines = \"folder\"",
        "csv = \"/dev/null\"",
    ]
    .iter()
    .map(|source| refused_in(&folder, &with_tasks(&format!("[tasks]\n{source}\n"))))
    .collect();
    insta::assert_snapshot!(messages.join("\n\n"));
}
