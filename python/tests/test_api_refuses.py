"""What can't work is refused at once, with a sentence that says what to do."""

import asyncio
import functools

import pytest
from conftest import IMAGE, golem, network

import golem_tasks as gt
from golem_tasks import _native


async def work(ctx, n):
    return n


def no_coroutine(ctx, n):
    return n


async def generator(ctx, n):
    yield n


def test_a_function_that_is_no_coroutine_function(in_loop):
    async def main():
        async with golem() as network:
            for function, told in [
                (no_coroutine, "async def no_coroutine"),
                (generator, "returning"),
                (7, "no function"),
                (functools.partial(no_coroutine), "coroutine function"),
            ]:
                with pytest.raises(TypeError, match="coroutine function|return its value"):
                    network.map(function, [1])
                assert told
            assert await network.map(functools.partial(work), [1]) == [1]

    in_loop(main)


@pytest.mark.parametrize(
    "settings, error, told",
    [
        ({"budget": None}, TypeError, "budget is None"),
        ({"budget": True}, TypeError, "budget is True"),
        ({"workers": 0}, ValueError, "workers is 0. Give 1 or more"),
        ({"workers": 1.5}, TypeError, "whole number"),
        ({"retries": -1}, ValueError, "retries is -1"),
        ({"timeout": 0}, ValueError, "timeout is 0. Give a time above zero"),
        ({"timeout": "1h"}, TypeError, "timedelta"),
        ({"timeout": float("nan")}, ValueError, "above zero"),
        ({"image": 7}, TypeError, "isn't a payload"),
    ],
)
def test_settings_that_make_no_sense(settings, error, told):
    with pytest.raises(error, match=told):
        gt.Golem(**settings)


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"budget": "lots"}, "budget"),
        ({"budget": "-1"}, "budget"),
        ({"image": {"image": "no such tag!"}}, "image"),
        ({"network": "nowhere"}, "nowhere"),
    ],
)
def test_a_start_that_can_t_be_is_a_start_error(in_loop, settings, told):
    async def main():
        async with network() as devnet:
            with pytest.raises(gt.StartError, match=told) as raised:
                async with gt.Golem(devnet=devnet, **{"image": IMAGE, **settings}):
                    raise AssertionError("it started")
            assert str(raised.value).endswith(".") and str(raised.value)[0].isupper() or str(raised.value)[0] == "`"

    in_loop(main)


def test_no_daemon_and_no_key_say_what_to_do(in_loop, monkeypatch):
    for name in ("YAGNA_APPKEY", "YAGNA_API_URL"):
        monkeypatch.delenv(name, raising=False)

    async def main():
        with pytest.raises(gt.StartError, match="yagna app-key create"):
            async with gt.Golem(image=IMAGE):
                pass
        with pytest.raises(gt.StartError, match="yagna service run") as raised:
            async with gt.Golem(image=IMAGE, app_key="k", api_url="http://127.0.0.1:9"):
                pass
        assert raised.value.kind == "unreachable"

    in_loop(main)


def test_a_missing_account_names_driver_and_network(in_loop):
    async def main():
        async with network() as devnet:
            with pytest.raises(gt.NoPaymentAccountError) as raised:
                async with gt.Golem(devnet=devnet, image=IMAGE, driver="zksync", network="rinkeby"):
                    pass
            assert (raised.value.driver, raised.value.network) == ("zksync", "rinkeby")

    in_loop(main)


def test_inputs_that_are_none(in_loop):
    async def main():
        async with golem() as network:
            for inputs in (7, None, "abc", b"abc"):
                with pytest.raises(TypeError, match="inputs"):
                    network.map(work, inputs)

    in_loop(main)


def test_inputs_that_fail_end_the_map_with_their_reason(in_loop):
    def broken():
        yield 1
        raise RuntimeError("the disk is gone")

    async def main():
        async with golem() as network:
            with pytest.raises(gt.WorkFailed, match="the disk is gone") as raised:
                await network.map(work, broken())
            assert raised.value.cause == "source_failed"

    in_loop(main)


def test_use_before_the_block_and_after_its_end(in_loop):
    async def main():
        with pytest.raises(RuntimeError, match="hasn't begun"):
            gt.Golem(image=IMAGE).map(work, [1])
        async with golem() as network:
            mapped, begun = network.map(work, [1]), network.map(work, range(100_000))
            await begun.__anext__()
        with pytest.raises(RuntimeError, match="has ended"):
            network.map(work, [1])
        for left in (mapped, begun):
            with pytest.raises(gt.WorkFailed, match="closed before this map was done"):
                await left
        with pytest.raises(RuntimeError, match="started already"):
            await network.start()
        assert (await network.close()).is_over

    in_loop(main)


def test_another_machine_and_other_workers_than_before(in_loop):
    async def main():
        async with golem(workers=2) as network:
            with pytest.raises(ValueError, match="another Golem"):
                network.map(work, [1], image="golem/blender:latest")
            with pytest.raises(ValueError, match="share its workers"):
                await network.map(work, [1], workers=3)
            assert await network.map(work, [1], workers=2) == [1]

    in_loop(main)


def test_no_machine_is_named(in_loop):
    async def main():
        async with golem(image=None) as network:
            with pytest.raises(TypeError, match="No machine is named"):
                network.map(work, [1])

    in_loop(main)


def test_two_event_loops():
    async def begin():
        devnet = await gt.Devnet.start(1, instant=True)
        work = gt.Golem(devnet=devnet, image=IMAGE)
        await work.start()
        return devnet, work

    loop = asyncio.new_event_loop()
    devnet, there = loop.run_until_complete(begin())

    async def elsewhere():
        with pytest.raises(RuntimeError, match="another event loop"):
            await there.map(work, [1])

    asyncio.run(elsewhere())
    async def end():
        await there.close()
        await devnet.stop()

    loop.run_until_complete(end())
    loop.close()
    with pytest.raises(RuntimeError, match="No event loop"):
        _native.Devnet.start(1)


def test_a_second_answer_and_an_answer_that_is_forgotten(in_loop):
    async def twice(ctx, tasks):
        async for task in tasks:
            if task.data == "forgotten" and task.attempt == 1:
                del task
                continue
            task.accept(task.data)
            with pytest.raises(RuntimeError, match="has its answer already"):
                task.accept(1)
            with pytest.raises(RuntimeError, match="has its answer already"):
                task.reject("no")

    async def main():
        async with network() as devnet:
            executor = await _native.Executor.start({"image": IMAGE}, {}, devnet)
            submitted = executor.submit(twice, ["once", "forgotten"])
            done = []
            while pack := await submitted.next():
                done.extend((task.result, task.attempts) for task in pack)
            assert sorted(done) == [("forgotten", 2), ("once", 1)]
            await executor.close()
            with pytest.raises(RuntimeError, match="closed"):
                executor.submit(twice, ["late"])
            assert (await executor.close())["done"] == 2

    in_loop(main)


def test_commands_that_can_t_be_read(in_loop):
    async def bad(ctx, tasks):
        async for task in tasks:
            for commands, error in [
                ([("explode",)], ValueError),
                ([("run", "/bin/true")], (TypeError, IndexError)),
                ([("run", "/bin/true", [1])], TypeError),
                (["run"], TypeError),
                ([("shell", "true", {"capture": "all"})], ValueError),
                ([("download_bytes", "/a", -1)], (TypeError, OverflowError)),
            ]:
                with pytest.raises(error):
                    await ctx.commit(commands)
            with pytest.raises(ValueError, match="time"):
                ctx.commit([("shell", "true")], -1.0)
            assert await ctx.commit([]) == []
            with pytest.raises(_native.Error) as raised:
                await ctx.commit([("send_file", "/no/such/file", "/golem/input/x")])
            assert raised.value.details["ready"] and "/no/such/file" in str(raised.value)
            task.accept("refused")

    async def main():
        async with network() as devnet:
            executor = await _native.Executor.start({"image": IMAGE}, {"retries": 0}, devnet)
            submitted = executor.submit(bad, [1], failures=True)
            (task,) = await submitted.next()
            assert getattr(task, "result", task) == "refused"
            await executor.close()

    in_loop(main)


def test_a_task_that_is_cancelled_while_it_waits_loses_no_task(in_loop):
    async def impatient(ctx, tasks):
        first = asyncio.ensure_future(tasks.next())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0.05)
        while (task := await asyncio.wait_for(tasks.next(), 5)) is not None:
            task.accept(task.attempt)

    async def main():
        async with network(1) as devnet:
            executor = await _native.Executor.start({"image": IMAGE}, {}, devnet)
            submitted = executor.submit(impatient, [1, 2])
            done = []
            while pack := await submitted.next():
                done.extend(task.result for task in pack)
            assert done == [1, 1]
            await executor.close()

    in_loop(main)


def test_unknown_settings_are_named(in_loop):
    async def main():
        async with network() as devnet:
            with pytest.raises(TypeError, match="no setting .colour."):
                _native.Executor.start({"image": IMAGE}, {"colour": 1}, devnet)
            with pytest.raises(ValueError, match="no setting .imag."):
                _native.Executor.start({"image": IMAGE, "imag": "x"}, {}, devnet)
            with pytest.raises(TypeError, match="min_mem_gib can't be 'much'"):
                _native.Executor.start({"image": IMAGE, "min_mem_gib": "much"}, {}, devnet)
            with pytest.raises(ValueError, match="has no image"):
                _native.Executor.start({}, {}, devnet)
            with pytest.raises(ValueError, match="max_start"):
                _native.Executor.start({"image": IMAGE}, {"max_start": "free"}, devnet)

    in_loop(main)


def test_run_wants_the_function_itself():
    async def main(golem):
        pass

    with pytest.raises(TypeError, match="Pass the function itself"):
        gt.run(main(None), devnet=True)
