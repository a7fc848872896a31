"""Modules for golem-tasks-python run: from the command line and by Runner, on emulated networks, with commands that really run.

The programs are begun together and looked at one by one, as each of them waits most of its time.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import golem_tasks
from golem_tasks.golem_core import Payload, commands
from golem_tasks.golem_core.low.exceptions import BatchError, BatchTimeoutError
from golem_tasks.runner import Runner

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "examples"
IMAGE = "9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae"
PATIENCE = 60

HEAD = f"""
    import asyncio, os, sys
    from golem_core import Payload, commands
    from golem_core.low import Activity
    from golem_core.low.exceptions import BatchError, BatchTimeoutError
    PAYLOAD = Payload.from_image_hash("{IMAGE}")

    def note(text):
        with open("notes", "a") as notes:
            notes.write(str(text) + "\\n")
"""

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
                return object() if number == 5 else {"number": number} if number == 4 else None
            return work
    """,
    # Whatever can go wrong with a task.
    "troubles": """
        kept = []

        def get_tasks(run_id):
            yield from (refused, no_file, not_async, never_done, used_after, says_no, works)

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
    "yacat": ["run", str(EXAMPLES / "yacat.py"), "--devnet", "--workers", "3", "--run-id", "crack"],
}


def environment(folder, **more):
    paths = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "GOLEM_TASKS_DSN": f"sqlite:{folder}/runs.db", **more}


def begun(folder, arguments, **more):
    """Begins the program in a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "golem_tasks", *arguments],
        cwd=folder,
        env=environment(folder, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process, patience=PATIENCE):
    """Waits for a program: its exit code, its output, and what it logged."""
    try:
        out, err = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"it doesn't end:\n{out}\n{err}")
    return process.returncode, out, err


def told(folder, *arguments, **more):
    """What a command writes, which must succeed."""
    code, out, err = ended(begun(folder, arguments, **more))
    assert code == 0, err
    return out


def results(folder, run):
    return [json.loads(line) for line in told(folder, "results", run, "--all").splitlines()]


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def until(condition, what, patience=PATIENCE):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    return pytest.fail(f"not within {patience} s: {what}")


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
    assert [(task["data"], task["status"]) for task in kept] == [({"callable": f"work(number={n})"}, "done") for n in range(6)]
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


# ---- killed, and taken up ----


@pytest.fixture
def network():
    """A network that outlives programs, as the variables by which they find it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "golem_tasks", "devnet", "--listen", "127.0.0.1:0"],
        env=environment("/tmp"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    variables = {}
    for line in process.stdout:
        found = re.fullmatch(r"export (\w+)='?([^']*?)'?\n", line)
        if found:
            variables[found[1]] = found[2]
        elif variables:
            break
    yield variables
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)


def test_what_is_done_before_kill_9_is_not_done_again(tmp_path, network):
    (tmp_path / "keyed.py").write_text(
        textwrap.dedent(HEAD)
        + textwrap.dedent("""
        class Part:
            def __init__(self, name):
                self.key = name

            async def __call__(self, activity):
                note("begun " + self.key)
                batch = await activity.execute_commands(commands.Run("sleep 0.1"))
                await batch.wait(30)
                note("done " + self.key)

        def get_tasks(run_id):
            # The second process has them in another order, some are gone, and one is new.
            names = [f"part-{number}" for number in range(40)]
            if os.path.exists("second"):
                names = ["new", *reversed(names[:35])]
            yield from map(Part, names)
        """)
    )
    command = ["run", "keyed", "--workers", "3", "--run-id", "night"]
    first = begun(tmp_path, command, **network)
    done = lambda: {note.split()[1] for note in lines(tmp_path / "notes") if note.startswith("done")}  # noqa: E731
    until(lambda: len(done()) >= 9, "some tasks")
    first.kill()
    ended(first)
    with sqlite3.connect(tmp_path / "runs.db") as database:
        stored = {json.loads(row[0]) for row in database.execute("SELECT data FROM tasks WHERE status = 'done'")}
    assert len(stored) >= 6
    (tmp_path / "second").touch()
    (tmp_path / "notes").unlink()
    code, _, err = ended(begun(tmp_path, command, **network))
    assert code == 0, err
    assert "agreements go on" in err or "agreement goes on" in err, err
    # What was done isn't begun again; all else that get_tasks still yields is done, and what it no longer yields isn't.
    again = {note.split()[1] for note in lines(tmp_path / "notes") if note.startswith("begun")}
    assert not again & stored
    wanted = {"new", *(f"part-{number}" for number in range(35))}
    assert done() == wanted - stored
    assert {task["data"]: task["status"] for task in results(tmp_path, "night")} == {
        name: "done" for name in wanted | {f"part-{number}" for number in range(40)}
    }


# ---- Runner ----


def settings(tmp_path, **more):
    return {
        "payload": Payload.from_image_hash(IMAGE),
        "dsn": f"sqlite:{tmp_path}/runs.db",
        "run_id": "within",
        "workers": 2,
        "result_max_price": 0.1,
        "budget_str": "3/h",
        "devnet": 2,
        **more,
    }


def test_runner_runs_within_a_program(tmp_path):
    found = []

    def task(number):
        async def work(activity):
            batch = await activity.execute_commands(commands.Run(f"echo {number}"))
            await batch.wait(30)
            found.append(int(batch.events[-1].stdout))

        return work

    async def main():
        runner = Runner(
            get_tasks=lambda run_id: map(task, range(4)), results_cnt=counted, **settings(tmp_path)
        )
        summary = await runner.main()
        with pytest.raises(RuntimeError, match="This runner has run. Make another one with the same run_id"):
            await runner.main()
        return summary

    async def counted(run_id):
        found.append(run_id)
        return 4

    summary = asyncio.run(main())
    assert sorted(found[:4]) == [0, 1, 2, 3] and found[4:] == ["within"]
    assert (summary["run"], summary["why"], summary["tasks"]["done"], summary["unsettled"]) == ("within", "all_done", 4, 0)


def test_cancelling_a_runner_stops_its_run_in_order(tmp_path):
    begun = []

    async def work(activity):
        begun.append(activity.id)
        await (await activity.execute_commands(commands.Run("sleep 0.05"))).wait(30)

    def for_ever(run_id):
        while True:
            yield work

    async def main():
        running = asyncio.ensure_future(Runner(get_tasks=for_ever, **settings(tmp_path)).main())
        while len(begun) < 3:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(asyncio.wait_for(main(), PATIENCE))
    with sqlite3.connect(tmp_path / "runs.db") as database:
        assert database.execute("SELECT status, stop_reason FROM runs").fetchall() == [("ended", "cancelled")]
        assert database.execute("SELECT count(*) FROM rentals WHERE status NOT IN ('ended', 'failed')").fetchone() == (0,)


async def nothing(activity):
    pass


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"payload": 3}, ValueError, r"^The payload of this runner can't be used: An object of builtins.int isn't a payload"),
        ({"get_tasks": [nothing]}, ValueError, "^Get_tasks of this runner is .* it must be a function"),
        ({"result_max_price": -1}, ValueError, "result_max_price is -1. It must not be negative."),
        ({"budget_str": "lots"}, ValueError, "The setting budget can't be \"lots\""),
        ({"workers": 0}, ValueError, "The setting workers can't be 0."),
        ({"run_id": "a b"}, golem_tasks.RunError, "^The run id is wrong"),
        ({"dsn": "oracle://x"}, golem_tasks.RunError, "oracle"),
        ({"devnet": None, "dsn": "sqlite:{}/a.db"}, golem_tasks.RunError, "YAGNA_APPKEY isn't set.*; "),
    ],
)
def test_what_a_runner_cannot_use_is_told_before_anything_begins(tmp_path, monkeypatch, wrong, error, message):
    monkeypatch.delenv("YAGNA_APPKEY", raising=False)
    wrong = {name: value.format(tmp_path) if name == "dsn" else value for name, value in wrong.items()}

    async def main():
        await Runner(**{**settings(tmp_path, get_tasks=lambda run_id: [nothing]), **wrong}).main()

    with pytest.raises(error, match=message):
        asyncio.run(main())


# ---- the command line ----


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "not_there", "--devnet"], "error: there is no module not_there, neither in this folder"),
        (["run", "wrong", "--devnet"], "error: the module wrong can't be imported: ZeroDivisionError"),
        (["run", "--workers", "2", "wrong.py", "--devnet"], "error: the module wrong.py can't be imported"),
        (["run", "not_there.toml", "--devnet"], "not_there.toml"),
        (["run", "--devnet"], "required"),
        (["run", "right", "--budget", "lots"], "invalid value 'lots' for '--budget"),
        (["run", "right"], "YAGNA_APPKEY isn't set"),
        (["run", "right", "--devnet", "--run-id", "a b"], "invalid value 'a b' for '--run-id"),
    ],
)
def test_what_is_wrong_with_a_command_line_is_told_with_exit_code_2(tmp_path, arguments, message):
    (tmp_path / "wrong.py").write_text("1 / 0")
    (tmp_path / "right.py").write_text("PAYLOAD = 'golem/alpine:latest'\ndef get_tasks(run_id): return []")
    code, out, err = ended(begun(tmp_path, arguments, YAGNA_APPKEY=""))
    assert (code, out) == (2, ""), err
    assert message in err and "Traceback" not in err


def test_install_check_and_help_know_modules(tmp_path):
    (tmp_path / "right.py").write_text("PAYLOAD = 'golem/alpine:latest'\nasync def one(a): pass\ndef get_tasks(run_id): return [one]")
    assert "runs.db" in told(tmp_path, "install")
    checked = told(tmp_path, "check", "right")
    assert "tasks    1" in checked and "one" in checked
    assert "MODULE" in told(tmp_path, "run", "--help")


# ---- PostgreSQL ----


@pytest.mark.skipif("GOLEM_TASKS_TEST_PG" not in os.environ, reason="it needs `scripts/postgres`")
def test_the_tables_of_golem_tasks_python_answer_in_postgresql(tmp_path):
    dsn = os.environ["GOLEM_TASKS_TEST_PG"]
    psql = shutil.which("psql") or next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"), reverse=True)), None)
    write(tmp_path, "endless")
    assert told(tmp_path, "install", "--dsn", dsn)
    code, _, err = ended(begun(tmp_path, ["run", "endless", "--devnet", "--results", "3", "--run-id", "pg-python", "--dsn", dsn]))
    assert code == 0, err
    assert "pg-python" in told(tmp_path, "summary", "--dsn", dsn, "--run-id", "pg-python")
    if psql is None:
        pytest.skip("psql is missing")
    query = "SELECT count(*) FROM tasks.batches('pg-python')"
    counted = subprocess.run([psql, dsn, "-Atc", query], text=True, capture_output=True, timeout=20)
    assert int(counted.stdout) >= 3, counted.stderr


def test_exceptions_of_a_batch_are_those_of_golem_core():
    assert issubclass(BatchError, Exception) and not issubclass(BatchTimeoutError, BatchError)
