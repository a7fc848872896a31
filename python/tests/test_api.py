"""The API for new programs: what it gives, and what it leaves behind."""

import asyncio
import datetime
import decimal
import json
import sys
import threading
import time
from decimal import Decimal

import pytest
from conftest import IMAGE, golem, network

import golem_tasks as gt


async def square(ctx, n):
    return int((await ctx.sh(f"echo $(( {n} * {n} ))")).stdout)


def test_a_map_gives_each_input_its_value_provider_time_and_cost(in_loop):
    async def main():
        async with golem() as network:
            done = [item async for item in network.map(square, range(6))]
        assert sorted((item.input, item.value) for item in done) == [(n, n * n) for n in range(6)]
        for item in done:
            assert item.provider.name and item.provider.id.startswith("0x")
            assert isinstance(item.cost, Decimal) and item.cost > 0
            assert isinstance(item.running_time, datetime.timedelta) and item.running_time > datetime.timedelta(0)
            assert item.attempts == 1
        assert network.summary.done == 6 and network.summary.is_over
        assert network.summary.cost > 0 and network.summary.unsettled == 0
        assert sum(each.tasks for each in network.summary.providers.values()) == 6
        assert "6 done" in network._repr_html_() and "<table>" in network._repr_html_()

    in_loop(main)


def test_awaiting_a_map_gives_the_values_in_the_order_of_the_inputs(in_loop):
    async def later(ctx, n):
        await asyncio.sleep(0.05 * (3 - n))
        return n

    async def main():
        async with golem(providers=3) as network:
            assert await network.map(later, [0, 1, 2]) == [0, 1, 2]
            assert [item.value async for item in network.map(later, [0, 1, 2], ordered=True)] == [0, 1, 2]

    in_loop(main)


def test_inputs_may_be_any_iterable_and_are_read_as_they_are_wanted(in_loop):
    read = []

    def endless():
        n = 0
        while True:
            read.append(n)
            yield n
            n += 1

    async def few():
        for n in range(3):
            await asyncio.sleep(0.01)
            yield n

    async def main():
        async with golem() as network:
            assert sorted(await network.map(square, few())) == [0, 1, 4]
            assert sorted(await network.map(square, iter([2, 3]))) == [4, 9]
            assert await network.map(square, []) == []
            async for item in network.map(square, endless()):
                if item.input >= 5:
                    break
        assert len(read) < 2000

    in_loop(main)


def test_files_and_documents_go_there_and_come_back(in_loop, tmp_path):
    (tmp_path / "in.txt").write_bytes(b"\0hello\xff")

    async def copy(ctx, n):
        await ctx.upload(tmp_path / "in.txt", "/golem/input/in.txt")
        await ctx.write_json({"n": n}, "/golem/input/n.json")
        assert await ctx.read_json("/golem/input/n.json") == {"n": n}
        batch = ctx.batch(timeout=datetime.timedelta(seconds=20))
        batch.run("/bin/cp", "/golem/input/in.txt", "/golem/output/out.txt")
        batch.sh("echo $WHO >&2", env={"WHO": "me"})
        batch.read("/golem/output/out.txt")
        copied, who, content = await batch
        assert (copied.exit_code, who.stderr, content.content) == (0, "me\n", b"\0hello\xff")
        return await ctx.download("/golem/output/out.txt", tmp_path / "new" / f"{n}.txt")

    async def main():
        async with golem() as network:
            paths = await network.map(copy, [1, 2])
        assert [path.read_bytes() for path in paths] == [b"\0hello\xff"] * 2

    in_loop(main)


def test_a_failed_command_is_an_exception_with_provider_code_and_stderr(in_loop):
    seen = []

    async def fails(ctx, n):
        try:
            await ctx.sh("echo useful; echo oops >&2; exit 3")
        except gt.CommandFailed as error:
            seen.append((error.exit_code, error.stderr, error.provider == ctx.provider))
        # It can be used on.
        await ctx.sh("exit 4")

    async def main():
        async with golem() as network:
            with pytest.raises(gt.WorkFailed) as raised:
                await network.map(fails, ["a"], retries=1)
        assert seen == [(3, "oops\n", True)] * 2
        error = raised.value
        assert (error.cause, error.unfinished) == ("tasks_failed", [])
        (failed,) = error.failed
        assert (failed.input, failed.attempts, failed.exit_code, failed.kind) == ("a", 2, 4, "command_failed")
        assert failed.provider is not None and isinstance(failed.__cause__, gt.CommandFailed)
        assert network.summary.failed == 1

    in_loop(main)


def test_an_input_that_fails_costs_no_other_its_value(in_loop):
    async def main():
        async with golem() as network:
            values = []
            with pytest.raises(gt.WorkFailed, match="1 failed"):
                async for item in network.map(lambda_of(lambda n: 12 // n), [0, 3, 4], retries=0):
                    values.append(item.value)
            assert sorted(values) == [3, 4]
            items = await network.map(lambda_of(lambda n: 12 // n), [0, 3, 4], retries=0, return_exceptions=True)
            assert isinstance(items[0], gt.TaskFailed) and isinstance(items[0].__cause__, ZeroDivisionError)
            assert items[1:] == [4, 3]

    in_loop(main)


def lambda_of(function):
    async def call(ctx, n):
        return function(n)

    return call


def test_an_exception_of_the_function_fails_that_attempt_only(in_loop):
    calls = []

    async def flaky(ctx, n):
        calls.append(n)
        if len(calls) == 1:
            raise ValueError("not yet")
        return n

    async def main():
        async with golem() as network:
            assert await network.map(flaky, [7]) == [7]

    in_loop(main)
    assert calls == [7, 7]


def test_cancelling_the_reader_loses_nothing_and_cancelling_the_map_cancels_the_functions(in_loop):
    cancelled = []

    async def forever(ctx, n):
        if n == 0:
            return n
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(n)
            raise

    async def main():
        async with golem() as network:
            mapped = network.map(square, [3])
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(mapped.__anext__(), 0.001)
            assert (await mapped.__anext__()).value == 9

            mapped = network.map(forever, [0, 1])
            assert (await mapped.__anext__()).value == 0
            mapped.cancel()
            assert [item async for item in mapped] == []
            for _ in range(100):
                if cancelled:
                    break
                await asyncio.sleep(0.02)
            assert cancelled == [1]

    in_loop(main)


def test_leaving_the_block_by_an_exception_ends_agreements_and_settles_bills(in_loop):
    async def main():
        async with network() as devnet:
            with pytest.raises(KeyError):
                async with gt.Golem(devnet=devnet, image=IMAGE) as work:
                    async for _ in work.map(square, range(100)):
                        raise KeyError("mine")
            assert devnet.open_agreements() == 0 and devnet.unpaid_invoices() == 0
            assert work.summary.cost > 0 and work.summary.is_over

            # A task that is cancelled within the block waits for the end, too.
            async def cancelled():
                async with gt.Golem(devnet=devnet, image=IMAGE) as work:
                    await work.map(lambda_of(lambda n: n), range(3))
                    begun.set()
                    await asyncio.sleep(60)

            begun = asyncio.Event()
            task = asyncio.ensure_future(cancelled())
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    in_loop(main)


def test_several_maps_share_one_budget_at_the_same_time(in_loop):
    async def main():
        async with golem(providers=3) as network:
            first, second = network.map(square, range(5)), network.map(square, range(5, 10))
            assert await asyncio.gather(first, second) == [[n * n for n in range(5)], [n * n for n in range(5, 10)]]

    in_loop(main)


def test_a_budget_that_is_used_up_ends_the_map_and_holds(in_loop):
    async def long(ctx, n):
        await ctx.sh("sleep 20")

    async def main():
        async with golem(budget="0.0001") as network:
            with pytest.raises(gt.WorkFailed) as raised:
                await network.map(long, range(5))
        assert raised.value.cause in ("budget_reached", "nothing_runs")
        assert sorted(raised.value.unfinished) == list(range(5))
        assert network.summary.cost <= Decimal("0.0001")

    in_loop(main)


def test_the_budget_can_be_raised_on_the_way(in_loop):
    async def main():
        async with golem(budget=Decimal("0.1")) as network:
            assert await network.add_budget(0.2) == Decimal("0.3")

    in_loop(main)


def test_a_strategy_scores_offers_and_refuses_them_with_a_reason(in_loop):
    seen = {}

    def strategy(offer):
        seen[offer["name"]] = offer
        return 1.0 if offer["name"] == chosen else "not that one"

    async def main():
        nonlocal chosen
        async with network(3) as devnet:
            chosen = devnet.provider_names()[1]
            refused = []

            def on_event(kind, event):
                if kind == "offer_refused":
                    refused.append((event["provider"]["name"], event["reason"]))

            async with gt.Golem(devnet=devnet, image=IMAGE, strategy=strategy, on_event=on_event) as work:
                done = [item async for item in work.map(square, range(4))]
            assert {item.provider.name for item in done} == {chosen}
            assert {reason for _, reason in refused} == {"not that one"} and len({name for name, _ in refused}) == 2
            assert Decimal(seen[chosen]["per_hour"]) > 0 and seen[chosen]["threads"] >= 1

    chosen = ""
    in_loop(main)


def test_a_strategy_that_raises_refuses_and_ends_nothing(in_loop, capsys):
    def broken(offer):
        if offer["name"] == bad:
            raise RuntimeError("mine")
        return offer["expected"]

    async def main():
        nonlocal bad
        async with network(2) as devnet:
            bad = devnet.provider_names()[0]
            async with gt.Golem(devnet=devnet, image=IMAGE, strategy=broken) as work:
                done = [item async for item in work.map(square, range(3))]
            assert bad not in {item.provider.name for item in done}

    bad = ""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        in_loop(main)
    finally:
        sys.unraisablehook = hook


def test_events_come_in_order_on_the_loop_with_their_fields(in_loop):
    events = []

    async def main():
        thread = threading.get_ident()

        def on_event(kind, event):
            assert threading.get_ident() == thread
            events.append((kind, event))

        async with golem(on_event=on_event) as network:
            await network.map(square, [5])

    in_loop(main)
    kinds = [kind for kind, _ in events]
    order = ["allocation_created", "agreement_approved", "activity_ready", "task_started", "task_done", "agreement_ended", "run_ended"]
    assert [kind for kind in kinds if kind in order and kinds.count(kind) == 1] == [kind for kind in order if kinds.count(kind) == 1]
    added = next(event for kind, event in events if kind == "task_added")
    assert json.dumps(added) and abs(added["at"] - time.time()) < 60


def test_a_blocked_loop_is_warned_about(in_loop, caplog, monkeypatch):
    monkeypatch.setattr("golem_tasks._blocked._last", -1000.0)

    async def blocks(ctx, n):
        await ctx.sh("true")
        time.sleep(1.7)

    async def main():
        async with golem(providers=1) as network:
            await network.map(blocks, [1])

    in_loop(main)
    assert "Something blocked the event loop" in caplog.text


def test_scripts_need_no_event_loop():
    done = list(gt.map(square, [1, 2], image=IMAGE, devnet=1))
    assert sorted(item.value for item in done) == [1, 4]

    async def main(golem):
        return await golem.map(square, [3], image=IMAGE)

    assert gt.run(main, devnet=1) == [9]


def test_leaving_the_loop_of_a_script_ends_the_work():
    for item in gt.map(square, range(1000), image=IMAGE, devnet=1):
        assert item.value == item.input**2
        break
    for _ in range(100):
        if not any(thread.name == "golem-tasks-map" for thread in threading.enumerate()):
            break
        time.sleep(0.05)
    assert not any(thread.name == "golem-tasks-map" for thread in threading.enumerate())


def test_amounts_are_exact(in_loop):
    async def main():
        with decimal.localcontext() as context:
            context.prec = 6
            async with golem(budget=Decimal("0.123456789012345678")) as network:
                await network.map(square, [1])
                assert await network.add_budget("0") == Decimal("0.123456789012345678")

    in_loop(main)
