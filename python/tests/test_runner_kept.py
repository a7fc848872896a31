"""Runs of modules that are killed and taken up, Runner, what is wrong with a command line, and PostgreSQL."""

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
from pathlib import Path

import pytest
from processes import HEAD, IMAGE, PATIENCE, begun, ended, environment, lines, results, told, until

import golem_tasks
from golem_tasks.golem_core import Payload, commands
from golem_tasks.golem_core.low.exceptions import BatchError, BatchTimeoutError
from golem_tasks.runner import Runner

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
            # Of two with one key only the first is done.
            yield from map(Part, names + names[:3])
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
    with sqlite3.connect(tmp_path / "runs.db") as database:
        assert json.loads(database.execute("SELECT job FROM runs").fetchone()[0])["job"] == "test_runner_kept"
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
    (tmp_path / "right.py").write_text(
        "PAYLOAD = 'golem/alpine:latest'\ndef get_tasks(run_id): return []\nasync def results_cnt(run_id): return 0"
    )
    code, out, err = ended(begun(tmp_path, arguments, YAGNA_APPKEY=""))
    assert (code, out) == (2, ""), err
    assert message in err and "Traceback" not in err and "results_cnt" not in err


def test_install_check_and_help_know_modules(tmp_path):
    (tmp_path / "right.py").write_text("PAYLOAD = 'golem/alpine:latest'\nasync def one(a): pass\ndef get_tasks(run_id): return [one]")
    assert "runs.db" in told(tmp_path, "install")
    checked = told(tmp_path, "check", "right")
    assert "tasks    1" in checked and "one" in checked
    assert "MODULE" in told(tmp_path, "run", "--help")


def test_ctrl_c_ends_a_program_whose_task_blocks_the_event_loop(tmp_path):
    (tmp_path / "blocks.py").write_text(
        textwrap.dedent(HEAD)
        + textwrap.dedent("""
        import time

        async def sleep(activity):
            print("printed")
            note("begun")
            time.sleep(60)

        def get_tasks(run_id):
            return [sleep]
        """)
    )
    process = begun(tmp_path, ["run", "blocks", "--devnet"])
    until(lambda: lines(tmp_path / "notes"), "the task")
    process.send_signal(signal.SIGINT)
    until(lambda: "cancelled" in process.stderr.readline(), "the first Ctrl+C")
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process, 20)
    assert (code, out) == (130, "printed\n"), err
    assert "a function of the job still blocks the event loop" in err, err


# ---- PostgreSQL ----


@pytest.mark.skipif("GOLEM_TASKS_TEST_PG" not in os.environ, reason="it needs `scripts/postgres`")
def test_the_tables_of_golem_tasks_python_answer_in_postgresql(tmp_path):
    dsn = os.environ["GOLEM_TASKS_TEST_PG"]
    psql = shutil.which("psql") or next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"), reverse=True)), None)
    (tmp_path / "three.py").write_text(
        textwrap.dedent(HEAD) + "async def one(activity): pass\ndef get_tasks(run_id): return [one] * 3\n"
    )
    assert told(tmp_path, "install", "--dsn", dsn)
    code, _, err = ended(begun(tmp_path, ["run", "three", "--devnet", "--run-id", "pg-python", "--dsn", dsn]))
    assert code == 0, err
    assert "pg-python" in told(tmp_path, "summary", "--dsn", dsn, "--run-id", "pg-python")
    if psql is None:
        pytest.skip("psql is missing")
    query = "SELECT count(*) FROM tasks.batches('pg-python')"
    counted = subprocess.run([psql, dsn, "-Atc", query], text=True, capture_output=True, timeout=20)
    assert int(counted.stdout) >= 3, counted.stderr


def test_exceptions_of_a_batch_are_those_of_golem_core():
    assert issubclass(BatchError, Exception) and not issubclass(BatchTimeoutError, BatchError)
