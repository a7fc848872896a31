"""Durable jobs in Python: runs that outlive their process."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from conftest import IMAGE

import golem_tasks as gt

PROGRAM = """
    import sys
    import golem_tasks as gt

    class Squares(gt.Job):
        image = "golem/alpine:latest"
        workers = 2

        def tasks(self):
            return range(12)

        async def run(self, ctx, task):
            with open("calls", "a") as calls:
                print(task.data, file=calls)
            return int((await ctx.sh(f"sleep 0.05; echo $(( {task.data} * {task.data} ))")).stdout)

    sys.exit(Squares().main())
"""


class Squares(gt.Job):
    image = IMAGE

    def __init__(self, n=3):
        self.n = n

    def tasks(self):
        return range(self.n)

    async def run(self, ctx, task):
        return int((await ctx.sh(f"echo $(( {task.data} * {task.data} ))")).stdout)


def started(job, folder, **settings):
    return asyncio.run(asyncio.wait_for(job.start(dsn=f"sqlite:{folder}/runs.db", devnet=2, **settings), 40))


def test_a_run_gives_its_summary_and_what_is_done_is_not_done_again(tmp_path):
    class Adding(Squares):
        calls = 0

        async def run(self, ctx, task):
            Adding.calls += 1
            if task.data == 1 and task.attempt == 1:
                raise ValueError("not yet")
            if task.data == 2:
                task.add(10)
            return await super().run(ctx, task)

    summary = started(Adding(), tmp_path, run_id="adding")
    assert (summary["tasks"]["done"], summary["tasks"]["failed"], summary["why"]) == (4, 0, "all_done")
    calls = Adding.calls
    assert calls == 5
    assert started(Adding(), tmp_path, run_id="adding")["tasks"]["done"] == 4
    assert Adding.calls == calls
    with pytest.raises(gt.RunError) as raised:
        started(Squares(2), tmp_path, run_id="adding")
    assert raised.value.exit_code == 2


def test_a_result_that_is_no_json_fails_with_its_place(tmp_path):
    bad = [({1, 2}, "set"), ({1: "a"}, "key"), (float("nan"), "NaN"), (object(), "object"), (2**70, "64 bits"), ([[object()]], "[0][0]")]

    class Bad(Squares):
        retries = 0

        async def run(self, ctx, task):
            return bad[task.data][0]

    summary = started(Bad(len(bad)), tmp_path)
    assert summary["tasks"]["failed"] == len(bad)
    for failure in summary["failures"]:
        assert bad[failure["task"]][1] in failure["message"], failure


def test_a_task_that_is_no_json_stops_the_run_with_its_place(tmp_path):
    class Bad(Squares):
        def tasks(self):
            yield 1
            yield {"when": object()}

    try:
        summary = started(Bad(), tmp_path)
    except gt.RunError as error:
        assert '"when"' in str(error) and "object" in str(error)
    else:
        assert summary["why"] != "all_done"


def test_a_job_without_machine_or_with_a_plain_function_is_refused():
    class Nowhere(gt.Job):
        pass

    class Plain(Squares):
        def run(self, ctx, task):
            return 1

    for job, told in ((Nowhere(), "names no machine"), (Plain(), "not a coroutine function")):
        with pytest.raises(TypeError, match=told):
            asyncio.run(job.start(devnet=1))


def test_cancelling_a_run_stops_it_in_order_and_it_goes_on_later(tmp_path):
    class Slow(Squares):
        async def run(self, ctx, task):
            await asyncio.sleep(0 if go_on else 3)
            return task.data

    go_on = False

    async def main():
        running = asyncio.ensure_future(Slow().start(run_id="slow", dsn=f"sqlite:{tmp_path}/runs.db", devnet=2))
        await asyncio.sleep(1.5)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(asyncio.wait_for(main(), 40))
    go_on = True
    assert started(Slow(), tmp_path, run_id="slow")["tasks"]["done"] == 3


def program(folder, *words, **popen):
    path = folder / "squares.py"
    path.write_text(textwrap.dedent(PROGRAM))
    return subprocess.Popen([sys.executable, str(path), *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **popen)


def lines(folder):
    return (folder / "calls").read_text().split() if (folder / "calls").exists() else []


def test_a_program_of_a_job_goes_on_after_kill_9_and_stops_by_ctrl_c(tmp_path):
    words = ["run", "--devnet", "--run-id", "killed"]
    dsn = ["--dsn", f"sqlite:{tmp_path}/runs.db"]
    killed = program(tmp_path, *words, *dsn)
    deadline = time.monotonic() + 30
    while len(lines(tmp_path)) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.kill()
    killed.communicate(timeout=10)
    before = len(lines(tmp_path))
    assert 4 <= before < 12
    ended = program(tmp_path, *words, *dsn)
    out, err = ended.communicate(timeout=60)
    assert ended.returncode == 0, err
    # What was at work when it was killed is done once more; nothing else is.
    assert len(set(lines(tmp_path))) == 12 and len(lines(tmp_path)) <= 12 + 4
    shown = program(tmp_path, "summary", "killed", *dsn)
    out, err = shown.communicate(timeout=20)
    assert "12" in out, out + err

    stopped = program(tmp_path, "run", "--devnet", "--run-id", "stopped", *dsn, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    (tmp_path / "calls").unlink()
    deadline = time.monotonic() + 30
    while not lines(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    stopped.send_signal(signal.SIGINT)
    out, err = stopped.communicate(timeout=30)
    assert stopped.returncode == 130, err
    assert "Traceback" not in err


def test_set_up_prepares_each_machine_and_a_key_tells_tasks_that_are_the_same(tmp_path):
    class Keyed(Squares):
        prepared = 0

        def tasks(self):
            return [{"n": 1}, {"n": 1, "again": True}, (3, 4), {"n": 2}]

        def key(self, task):
            return str(task["n"]) if isinstance(task, dict) else None

        async def set_up(self, ctx):
            Keyed.prepared += 1
            await ctx.write(f"prepared {Keyed.prepared}", "/golem/input/ready")

        async def run(self, ctx, task):
            assert (await ctx.read("/golem/input/ready")).startswith(b"prepared")
            if isinstance(task.data, list):
                task.end_run()
            return task.data

    summary = started(Keyed(), tmp_path, workers=1)
    assert (summary["tasks"]["done"], summary["tasks"]["failed"], summary["why"]) == (2, 0, "results_reached")
    assert Keyed.prepared == 1
