//! No result replaces another one, or an input.

use crate::stage::Home;

fn pictures(home: &Home) {
    for number in 0..1200 {
        home.write(&format!("f{number}.png"), "");
    }
    home.write("zz.png", "");
    home.write("zz.jpg", "");
}

#[tokio::test]
async fn two_tasks_of_many_that_write_one_file_are_named_and_nothing_is_bought() {
    let home = Home::new();
    pictures(&home);
    let job = home.job(
        "[tasks]\nglob = \"*.[jp]*g\"\n\
         [[steps]]\nrun = \"echo {{ task }} > /golem/output/r\"\n\
         [[steps]]\ndownload = { from = \"/golem/output/r\", to = \"out/{{ task | stem }}.txt\" }\n",
    );
    let mut check = home.program(env!("CARGO_BIN_EXE_golem-tasks"));
    let checked = check.arg("check").arg(&job).output().await.unwrap();
    let told = String::from_utf8(checked.stderr).unwrap();
    assert_eq!(checked.status.code(), Some(2), "{told}");
    assert!(told.contains("tasks 1200 and 1201 would both write `") && told.contains("out/zz.txt"), "{told}");
    assert!(told.contains("put {{ index }} into the name"), "{told}");

    let ended = home.run(&job, &[]).await;
    ended.assert_code(2);
    ended.assert_says(&["tasks 1200 and 1201 would both write `", "step 2 `download.to`"]);
    assert_eq!(home.n_runs().await, 0);
}

#[tokio::test]
async fn a_target_that_is_an_input_is_refused() {
    let home = Home::new();
    home.write("in.txt", "a\nb\n");
    home.write("a", "one");
    home.write("b", "two");
    let database = home.database();
    for (source, upload, to, told) in [
        (
            "lines = \"in.txt\"",
            "in.txt",
            "{{ task }}/../in.txt",
            "which is the file that the tasks are read from",
        ),
        ("lines = \"in.txt\"", "in.txt", "{{ task }}/../job.toml", "which is the job file"),
        (
            "values = [\"b\", \"a\"]",
            "{{ task }}",
            "{{ 'b' if task == 'a' else 'out' }}",
            "task 1 would write",
        ),
        (
            "values = [\"a\", \"b\"]",
            "{{ task }}",
            "{{ 'b' if task == 'a' else 'out' }}",
            "which task 1 reads",
        ),
        (
            "values = [\"a\", \"b\"]",
            "in.txt",
            "{{ 'in.txt' if task == 'b' else 'out' }}",
            "the result would replace the input",
        ),
        ("values = [\"a\", \"b\"]", "in.txt", "DATABASE", "which is the database of runs"),
    ] {
        let to =
            to.replace("DATABASE", &format!("{}{{{{ '-wal' if task == 'b' else '' }}}}", database.display()));
        let job = home.job(&format!(
            "[tasks]\n{source}\n[[steps]]\nupload = {{ from = \"{upload}\", to = \"/golem/work/in\" }}\n\
             [[steps]]\ndownload = {{ from = \"/golem/work/in\", to = \"{to}\" }}\n"
        ));
        let ended = home.run(&job, &[]).await;
        ended.assert_code(2);
        ended.assert_says(&[told]);
    }
    assert_eq!(
        (home.read("a"), home.read("b"), home.read("in.txt")),
        (b"one".into(), b"two".into(), b"a\nb\n".into())
    );
}
