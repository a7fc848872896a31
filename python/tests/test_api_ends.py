"""Ends and edges: time-outs, Ctrl+C, output as it comes, progress bars, what a machine tells of itself."""

import asyncio
import builtins
import os
import signal
import subprocess
import sys
import textwrap
import time
from decimal import Decimal

import pytest
from conftest import IMAGE, golem, network

import golem_tasks as gt
from golem_tasks import _native

ENDLESS = """
    import golem_tasks as gt

    async def forever(ctx, n):
        print("at work", flush=True)
        await ctx.sh("sleep 600")

    async def main(golem):
        await golem.map(forever, range(4), image="golem/alpine:latest")

    gt.run(main, devnet=2, budget="1")
"""


def test_a_machine_whose_time_is_over_is_given_up_and_another_one_tries(in_loop):
    machines = []

    async def slow_at_first(ctx, n):
        machines.append(ctx.provider.name)
        if len(machines) == 1:
            with pytest.raises(gt.CommandTimeout, match="longer than"):
                await ctx.sh("sleep 60", timeout=0.5)
            # It still runs there, so the machine takes nothing else.
            await ctx.sh("true")
        return ctx.provider.name

    async def main():
        async with golem(providers=2) as network:
            (value,) = await network.map(slow_at_first, [1])
        assert value == machines[1] != machines[0]

    in_loop(main)


def test_a_map_with_a_timeout_of_its_own_ends_in_time_with_what_is_left(in_loop):
    async def slow(ctx, n):
        await ctx.sh(f"sleep {n}")
        return n

    async def main():
        async with golem(providers=2) as network:
            values = []
            with pytest.raises(gt.WorkFailed) as raised:
                async for done in network.map(slow, [0, 60], timeout=2):
                    values.append(done.value)
            assert values == [0]
            assert (raised.value.cause, raised.value.unfinished) == ("timed_out", [60])
            assert await network.map(slow, [0]) == [0]

    in_loop(main)


def test_a_machine_tells_what_it_used_and_what_that_costs(in_loop):
    async def told(ctx, n):
        await ctx.sh("true")
        assert isinstance(await ctx.usage(), dict)
        cost = await ctx.cost()
        assert isinstance(cost, Decimal) and cost >= 0
        terms = await ctx._native.terms()
        assert terms["agreementId"] == ctx.agreement_id
        return await ctx._native.state()

    async def main():
        async with golem(providers=1) as network:
            assert await network.map(told, [1]) == ["Ready"]

    in_loop(main)


def test_output_comes_while_a_command_runs(in_loop):
    async def follow(ctx, tasks):
        async for task in tasks:
            stream = ctx.stream([("shell", "echo one; sleep 0.3; echo two; echo bad >&2")], 20)
            seen = []
            while events := await stream.next():
                seen.extend(events)
            (result,) = await stream.finish()
            kinds = [kind for kind, _, _ in seen]
            assert kinds[0] == "started" and kinds[-1] == "finished" and "stdout" in kinds
            assert b"".join(rest for kind, _, rest in seen if kind == "stdout") == b"one\ntwo\n"
            assert b"".join(rest for kind, _, rest in seen if kind == "stderr") == b"bad\n"
            assert result.stdout == "one\ntwo\n" and seen[-1][2]["exit_code"] == 0
            failing, seen = ctx.stream([("shell", "echo x; exit 5")], 20), []
            with pytest.raises(_native.Error) as raised:
                while events := await failing.next():
                    seen.extend(events)
            # What it wrote before it failed is told, too.
            assert [rest for kind, _, rest in seen if kind == "stdout"] == [b"x\n"]
            assert raised.value.details["exit_code"] == 5
            task.accept("followed")

    async def main():
        async with network(1) as devnet:
            executor = await _native.Executor.start({"image": IMAGE}, {"retries": 0}, devnet)
            submitted = executor.submit(follow, [1], failures=True)
            (task,) = await submitted.next()
            assert getattr(task, "result", task) == "followed"
            await executor.close()

    in_loop(main)


def test_a_devnet_answers_by_its_script_or_has_the_files_of_a_folder(in_loop, tmp_path):
    (tmp_path / "golem").mkdir()
    (tmp_path / "golem" / "hello.txt").write_text("from the image")

    async def render(ctx, n):
        done = await ctx.batch().run("/bin/render", "--frame", n).read("/golem/output/out").commit()
        return done[0].stdout, done[1].content

    async def image(ctx, n):
        return (await ctx.sh("cat /golem/hello.txt")).stdout

    async def main():
        script = [{"program": "/bin/render", "args": ["--frame"], "stdout": "rendered", "writes": {"/golem/output/out": b"\1"}}]
        async with golem(scripted=script) as network_:
            assert await network_.map(render, [7]) == [("rendered", b"\1")]
        async with network(1, image=tmp_path) as devnet, gt.Golem(devnet=devnet, image=IMAGE) as network_:
            assert await network_.map(image, [1]) == ["from the image"]
        with pytest.raises(ValueError, match="not both"):
            _native.Devnet.start(1, scripted=[], image=tmp_path)
        with pytest.raises(ValueError, match="one or more"):
            _native.Devnet.start(0)
        with pytest.raises(_native.Error, match="nowhere"):
            _native.Devnet.start(1, image=tmp_path / "nowhere")

    in_loop(main)


def test_a_progress_bar_is_shown_where_it_is_wanted(in_loop, capsys, monkeypatch):
    async def same(ctx, n):
        return n

    async def main():
        async with golem(progress=True) as network:
            await network.map(same, range(3))

    in_loop(main)
    assert "3/3" in capsys.readouterr().err

    real = builtins.__import__

    def without_tqdm(name, *rest):
        if name.startswith("tqdm"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_tqdm)
    with pytest.raises(ImportError, match="pip install"):
        in_loop(main)


def test_ctrl_c_ends_in_order_and_a_second_one_leaves_at_once(tmp_path):
    path = tmp_path / "endless.py"
    path.write_text(textwrap.dedent(ENDLESS))

    def at_work():
        process = subprocess.Popen(
            [sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=dict(os.environ)
        )
        assert process.stdout.readline() == "at work\n"
        return process

    once, twice = at_work(), at_work()
    for process in (once, twice):
        process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    assert "Ctrl+C again" in twice.stderr.readline()
    twice.send_signal(signal.SIGINT)
    twice.communicate(timeout=20)
    left = time.monotonic() - begun
    _, told = once.communicate(timeout=20)
    assert once.returncode != 0 and "KeyboardInterrupt" in told and "agreements are ended" in told
    assert twice.returncode != 0 and left < 5


def test_a_loop_that_watches_no_pipes_works_too():
    class Blind(asyncio.SelectorEventLoop):
        def add_reader(self, *_):
            raise NotImplementedError

    async def square(ctx, n):
        return int((await ctx.sh(f"echo $(( {n} * {n} ))")).stdout)

    async def main():
        async with golem() as network:
            assert await network.map(square, range(4)) == [0, 1, 4, 9]

    loop = Blind()
    try:
        loop.run_until_complete(asyncio.wait_for(main(), 30))
    finally:
        loop.close()
