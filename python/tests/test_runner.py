"""Modules for golem-tasks-python run from the command line, on emulated networks, with commands that really run.

The programs are begun together and looked at one by one, as each of them waits most of its time.
"""

import re
import shutil
import signal
import sqlite3
import textwrap
import time

import pytest
from processes import HEAD, HERE, IMAGE, begun, ended, lines, results, told, until

EXAMPLES = HERE.parent / "examples"
DOCUMENTED = re.search(r"```python\n(.*?)```", (HERE.parents[1] / "docs" / "python-modules.md").read_text(), re.S)[1]

MODULES = {
    # All that a task can do with its activity.
    "all_of_it": """
        def get_tasks(run_id):
            note(run_id)
            for number in range(6):
                yield task(number)

        async def results_cnt(run_id):
            raise OSError("no disk")

        def task(number):
            async def work(activity: Activity):
                with open(f"in-{number}", "w") as file:
                    file.write(str(number))
                batch = await activity.execute_commands(
                    commands.Deploy(),
                    commands.SendFile(f"in-{number}", "/golem/work/in"),
                    commands.Run("read n < /golem/work/in; echo $((n * 7)) > /golem/work/out; echo oh >&2"),
                    commands.DownloadFile("/golem/work/out", f"out-{number}"),
                    commands.Run(["/bin/echo", "a  b", "$HOME"]),
                )
                assert not batch.done
                events = await batch.wait(timeout=30)
                assert batch.done and batch.success and events == batch.events
                assert [event.result for event in events] == ["Ok"] * 5 and events[-1].is_batch_finished
                assert events[2].stderr == "oh\\n" and events[-1].stdout == "a  b $HOME\\n", events
                # Two at once are executed one after the other.
                one = await activity.execute_commands(commands.Run("sleep 0.2; echo 1"))
                other = await activity.execute_commands(commands.Run("echo 2"))
                assert not activity.idle
                await asyncio.gather(one.wait(30), other.wait(30))
                assert (one.events[0].stdout, other.events[0].stdout, activity.idle) == ("1\\n", "2\\n", True)
                assert activity.parent.parent.data.issuer_id.startswith("0x") and activity.agreement.id
                try:
                    activity.node
                except NotImplementedError as error:
                    note(error)
                print(f"{number} -> {open(f'out-{number}').read().strip()}", flush=True)
                # What isn't waited for is in nobody's way.
                await activity.execute_commands(commands.Run("sleep 0.2"))
                await asyncio.sleep(0.05)
                return object() if number == 5 else {"number": number} if number == 4 else None
            return work
    """,
    # Whatever can go wrong with a task.
    "troubles": """
        kept = []

        def get_tasks(run_id):
            yield from (refused, no_file, not_async, never_done, used_after, says_no, leaves, works)

        async def refused(activity):
            batch = await activity.execute_commands(commands.Run("echo one"), commands.Run("echo why >&2; exit 3"), commands.Run("echo 3"))
            try:
                await batch.wait(30)
            except BatchError as error:
                assert [event.result for event in batch.events] == ["Ok", "Error"], batch.events
                assert batch.events[-1].stderr == "why\\n" and not batch.success and error.batch is batch
                raise

        async def no_file(activity):
            await (await activity.execute_commands(commands.SendFile("not-there", "/golem/work/a"))).wait(30)

        def not_async(activity):
            return 3

        async def never_done(activity):
            note("never_done on " + activity.id)
            batch = await activity.execute_commands(commands.Run("sleep 60"))
            await batch.wait(0.3)

        async def used_after(activity):
            if kept:
                try:
                    await kept[0].execute_commands(commands.Run("date"))
                except RuntimeError as error:
                    note(error)
                    return
            kept.append(activity)
            raise ValueError("once more")

        async def says_no(activity):
            raise ValueError("the result is no good")

        async def leaves(activity):
            sys.exit(3)

        async def works(activity):
            await (await activity.execute_commands(commands.Run("date"))).wait(30)
            print("works")
    """,
    # Counts, for ever.
    "endless": """
        def get_tasks(run_id):
            number = 0
            while True:
                yield task(number)
                number += 1

        def task(number):
            async def work(activity):
                batch = await activity.execute_commands(commands.Run(f"sleep 0.05; echo {number}"))
                await batch.wait(30)
                note(number)
                print(number, flush=True)
            return work
    """,
    # Fails while its tasks are read.
    "breaks": """
        def get_tasks(run_id):
            yield task
            raise OSError("no such table")

        async def task(activity):
            print("one")
    """,
}

RUNS = {
    "all_of_it": ["run", "all_of_it", "--devnet", "--workers", "2", "--run-id", "all", "--max-price", "0.5", "--budget", "2/h"],
    "troubles": ["run", "troubles.py", "--devnet", "--workers", "3", "--retries", "1", "--run-id", "bad"],
    "breaks": ["run", "breaks", "--devnet", "--run-id", "broken"],
    "ctrl_c": ["run", "--run-id", "ctrl", "endless", "--devnet", "--workers", "2"],
    "job_file": ["run", "job.toml", "--devnet", "--run-id", "file"],
    "example": ["run", str(EXAMPLES / "hello_world.py"), "--devnet", "--results", "5"],
    "documented": ["run", "documented", "--devnet", "--results", "3"],
    "yacat": ["run", str(EXAMPLES / "yacat.py"), "--devnet", "--workers", "3", "--run-id", "crack"],
}


def write(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.py").write_text(textwrap.dedent(HEAD) + textwrap.dedent(MODULES[name]))


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """All programs, begun together, each with its folder."""
    processes = {}
    for name, arguments in RUNS.items():
        folder = tmp_path_factory.mktemp(name)
        write(folder, *MODULES)
        (folder / "documented.py").write_text(DOCUMENTED)
        (folder / "table.txt").touch()
        (folder / "job.toml").write_text(
            f'[payload]\nimage_hash = "{IMAGE}"\n[tasks]\nrange = {{ start = 0, end = 3 }}\n[[steps]]\nrun = "echo {{{{ task * 7 }}}}"\n'
        )
        processes[name] = (folder, begun(folder, arguments))
    yield processes
    for _, process in processes.values():
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_a_module_runs_unchanged_and_ends_with_its_last_task(programs):
    folder, process = programs["all_of_it"]
    code, out, err = ended(process)
    assert code == 0, err
    # Results that are nothing get no line; what the module prints is its own.
    expected = [f"{number} -> {number * 7}" for number in range(6)] + ['4\t{"number":4}']
    assert sorted(out.splitlines()) == sorted(expected)
    assert "6 of 6 tasks done" in err or "6 tasks done" in err
    assert "results_cnt failed: OSError: no disk" in err
    assert "work(number=5) returned <object object" in err and "isn't JSON" in err
    notes = lines(folder / "notes")
    assert notes[0] == "all" and notes[1].startswith("golem_core.low.Activity.node isn't part of golem_tasks")
    kept = results(folder, "all")
    assert [(task["data"], task["status"], task["attempt"]) for task in kept] == [
        ({"callable": f"work(number={n})"}, "done", 1) for n in range(6)
    ]
    assert kept[4]["result"] == {"number": 4}


def test_show_and_summary_tell_of_it(programs):
    folder, process = programs["all_of_it"]
    ended(process) if process.poll() is None else None
    shown = told(folder, "show")
    assert all(name in shown for name in ("activity_id", "GLM/result", "stop_reason")) and "STOPPED" in shown
    row = told(folder, "summary", "--run-id", "all").splitlines()
    assert row[0].split()[0] == "run_id" and row[1].split()[0] == "all" and row[1].split()[-1] == "6"


def test_each_trouble_of_a_task_is_told_and_the_others_go_on(programs):
    folder, process = programs["troubles"]
    code, out, err = ended(process)
    assert (code, out) == (1, "works\n"), err
    attempts = {}
    for task in results(folder, "bad"):
        attempts[task["data"]["callable"]] = (task["status"], task["attempt"])
    kept = told(folder, "errors", "bad", "--all")
    assert attempts["works"][0] == attempts["used_after"][0] == "done"
    assert attempts["refused"] == ("failed", 2) and "exited with code 3: why" in kept
    assert attempts["no_file"][0] == "failed" and "not-there can't be read" in kept
    # It would be the same everywhere, so it isn't tried again.
    assert attempts["not_async"] == ("failed", 1) and "not_async isn't an async function: it returned 3" in kept
    assert attempts["never_done"] == ("failed", 2) and "wasn't done in 0.3 seconds" in kept
    assert attempts["leaves"] == ("failed", 2) and "leaves raised SystemExit. A task can't end the run" in kept
    assert attempts["says_no"] == ("failed", 2) and "ValueError: the result is no good" in kept
    notes = lines(folder / "notes")
    # Nothing else is tried on a machine that is still busy.
    assert len({note for note in notes if note.startswith("never_done")}) == 2
    assert any("can't be used after the end of the task" in note for note in notes)


def test_tasks_that_cannot_be_read_end_the_run_with_the_reason(programs):
    _, process = programs["breaks"]
    code, out, err = ended(process)
    assert code == 7 and out in ("", "one\n"), err
    assert "the tasks can't be read: OSError: no such table" in err


def test_ctrl_c_ends_a_run_in_order_and_the_same_command_goes_on(programs):
    folder, process = programs["ctrl_c"]
    until(lambda: len(lines(folder / "notes")) > 3, "some tasks")
    before = time.monotonic()
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert code == 130 and time.monotonic() - before < 15, err
    assert "The run ended early: it was cancelled" in err and "Traceback" not in err
    with sqlite3.connect(folder / "runs.db") as database:
        assert database.execute("SELECT count(*) FROM rentals WHERE status NOT IN ('ended', 'failed')").fetchone() == (0,)
    code, out, err = ended(begun(folder, ["resume", "ctrl", "--devnet", "--results", str(len(out.split()) + 5)]))
    assert code == 0, err
    numbers = [int(number) for number in lines(folder / "notes")]
    done = [task["data"]["callable"] for task in results(folder, "ctrl") if task["status"] == "done"]
    assert len(done) == len(set(done)) >= 8 and len(set(numbers)) == len(set(done))


def test_job_files_run_as_before(programs):
    _, process = programs["job_file"]
    code, out, err = ended(process)
    assert code == 0, err
    assert sorted(out.splitlines()) == ["0\t0", "1\t7", "2\t14"]


def test_the_module_of_the_docs_runs(programs):
    folder, process = programs["documented"]
    code, out, err = ended(process)
    assert code == 0, err
    assert {"0\t0", "1\t7"} <= set(out.splitlines())


def test_the_examples_run(programs):
    _, process = programs["example"]
    code, out, err = ended(process)
    assert code == 0, err
    assert {"0 -> 0", "1 -> 7", "2 -> 14"} <= set(out.splitlines())
    assert int(re.search(r"^results_cnt: (\d+)$", err, re.M)[1]) >= 5
    folder, process = programs["yacat"]
    code, out, err = ended(process)
    assert code == 0, err
    assert "found: owl" in out
    assert [task["result"] for task in results(folder, "crack") if task["result"]] == ["owl"]


def test_the_examples_run_from_a_clone_as_the_readme_has_them(tmp_path):
    # Where the sources without their library come before the package that is installed.
    clone = tmp_path / "python"
    shutil.copytree(HERE.parent / "golem_tasks", clone / "golem_tasks", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    shutil.copytree(EXAMPLES, clone / "examples")
    out = told(clone, "run", "examples.hello_world", "--devnet", "--workers", "3", "--results", "3")
    assert len(out.splitlines()) >= 3
