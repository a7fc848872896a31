"""The task API of yapapi, on an emulated network in this process."""

import asyncio
import json
import logging
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from golem_tasks.yapapi import Executor, Golem, Task, _mode, events
from golem_tasks.yapapi.ctx import ExecOptions
from golem_tasks.yapapi.errors import BudgetInUse, TasksTimeout, UnfinishedTasks
from golem_tasks.yapapi.log import log_summary
from golem_tasks.yapapi.payload import vm
from golem_tasks.yapapi.props.com import Counter
from golem_tasks.yapapi.rest.activity import BatchError, BatchTimeoutError, CommandExecutionError
from golem_tasks.yapapi.script.capture import CaptureContext
from golem_tasks.yapapi.script.command import Command

IMAGE = "9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae"
#: What commands answer where none really runs.
SCRIPTED = [
    {"program": "/bin/false", "exit": 1},
    {"program": "/bin/echo", "args": ["up"], "stdout": "up\n"},
    {"program": "/bin/sleep", "args": ["60"], "takes": 60.0},
]

real_commands = pytest.mark.usefixtures("real")


@pytest.fixture(autouse=True)
def devnet():
    """A quick network for each Golem, on which commands are answered by a table."""
    mode = _mode.DevnetMode(providers=2, instant=True, seed=7, scripted=SCRIPTED)
    _mode.turn_devnet_on(mode)
    yield mode
    _mode.turn_devnet_on(None)


@pytest.fixture
def real(devnet):
    """Commands really run."""
    devnet.scripted = None


def played(test):
    """Run a test that is a coroutine function, with a limit on its time."""

    def run(**fixtures):
        asyncio.run(asyncio.wait_for(test(**fixtures), 20))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    run.__signature__ = __import__("inspect").signature(test)
    return run


async def package(**needs):
    return await vm.repo(image_hash=IMAGE, **needs)


class Heard(list):
    """An event consumer that keeps what it hears."""

    def __call__(self, event):
        self.append(event)

    def of(self, *kinds):
        return [event for event in self if isinstance(event, kinds)]

    def names(self):
        return [type(event).__name__ for event in self]


async def run(worker, data, **settings):
    """Execute tasks with this data by a Golem; the finished tasks by their data."""
    golem = {name: settings.pop(name) for name in ("strategy", "stream_output") if name in settings}
    heard = settings.pop("heard", None)
    async with Golem(budget=1, event_consumer=Heard() if heard is None else heard, **golem) as golem:
        tasks = [Task(data=item) for item in data] if isinstance(data, (list, range)) else data
        settings.setdefault("payload", await package())
        return {task.data: task async for task in golem.execute_tasks(worker, tasks, **settings)}


# ---- scripts ----


@real_commands
@played
async def test_a_script_moves_files_and_gives_results_in_every_way(tmp_path):
    (tmp_path / "in").write_text("a file")

    async def worker(ctx, tasks):
        async for task in tasks:
            got = []

            async def on_bytes(content):
                got.append(content)

            async def on_json(value):
                got.append(value)

            script = ctx.new_script(timeout=timedelta(seconds=30))
            script.upload_file(tmp_path / "in", "/golem/work/file")
            script.upload_bytes(b"\0bytes", "/golem/work/bytes")
            script.upload_json({"n": [1, 2.5, None]}, "/golem/work/json")
            said = script.run("/bin/cat", "/golem/work/file")
            script.download_bytes("/golem/work/bytes", on_bytes)
            script.download_json("/golem/work/json", on_json)
            script.download_file("/golem/work/file", str(tmp_path / "out"))
            with pytest.raises(AttributeError, match="Yield it"):
                script.results  # noqa: B018
            answer = yield script
            results = await answer
            assert results == script.results and len(results) == 7
            assert (await said).stdout == results[3].stdout == "a file"
            assert (await said).success and (await said).exit_code == 0
            task.accept_result(got)

    done = await run(worker, ["only"])
    assert done["only"].result == [b"\0bytes", {"n": [1, 2.5, None]}]
    assert (tmp_path / "out").read_text() == "a file"
    assert timedelta(0) < done["only"].running_time < timedelta(seconds=20)


@real_commands
@played
async def test_the_queue_of_0_5_makes_the_same_scripts(tmp_path):
    async def worker(ctx, tasks):
        ctx.begin()
        ctx.send_bytes("/golem/work/once", b"once")
        async for task in tasks:
            ctx.send_json("/golem/work/json", {"task": task.data})
            ctx.run("/bin/sh", "-c", "cat /golem/work/once /golem/work/json > /golem/output/all")
            ctx.download_file("/golem/output/all", str(tmp_path / f"{task.data}"))
            yield ctx.commit(timeout=timedelta(seconds=20))
            task.accept_result((tmp_path / f"{task.data}").read_text())

    done = await run(worker, range(3))
    assert {n: task.result for n, task in done.items()} == {n: f'once{{"task":{n}}}' for n in range(3)}


@real_commands
@played
async def test_environment_and_captures_reach_the_command():
    async def worker(ctx, tasks):
        async for task in tasks:
            script = ctx.new_script()
            env = script.run("/bin/sh", "-c", "printf %s $WORD", env={"WORD": "heard"})
            tail = script.run("/bin/sh", "-c", "printf 123456", stdout=CaptureContext.build(mode="tail", limit=2))
            binary = script.run("/bin/sh", "-c", r"printf '\377'", stdout=CaptureContext.build(mode="all", fmt="bin"))
            yield script
            task.accept_result([(await env).stdout, (await tail).stdout, (await binary).stdout_bytes])

    done = await run(worker, [1])
    assert done[1].result == ["heard", "56", b"\xff"]


@real_commands
@played
async def test_a_failed_command_is_thrown_at_the_yield_and_its_awaitables_end():
    async def worker(ctx, tasks):
        async for task in tasks:
            script = ctx.new_script()
            first = script.run("/bin/sh", "-c", "echo fine")
            second = script.run("/bin/sh", "-c", "echo on fire >&2; exit 3")
            third = script.run("/bin/sh", "-c", "echo never")
            try:
                yield script
            except CommandExecutionError as error:
                assert (await first).stdout == "fine\n"
                for command in (second, third):
                    with pytest.raises(CommandExecutionError):
                        await command
                task.accept_result((error.exit_code, error.stderr, str(error)))

    heard = Heard()
    done = await run(worker, [1], heard=heard)
    code, stderr, text = done[1].result
    assert (code, stderr.strip()) == (3, "on fire")
    assert "on fire" in text
    assert [event.success for event in heard.of(events.CommandExecuted)] == [True, False]


@real_commands
@played
async def test_a_script_that_takes_too_long_is_a_batch_timeout_and_its_task_is_tried_elsewhere():
    attempts = []

    async def worker(ctx, tasks):
        async for task in tasks:
            script = ctx.new_script(timeout=timedelta(seconds=1))
            script.run("/bin/sleep", "0" if attempts else "20")
            attempts.append(ctx.provider_name)
            try:
                yield script
            except BatchTimeoutError:
                attempts.append("timed out")
                raise
            task.accept_result("in time")

    done = await run(worker, [1])
    assert done[1].result == "in time"
    assert attempts[1] == "timed out" and attempts[0] != attempts[2]


@real_commands
@played
async def test_a_worker_may_go_on_while_a_script_runs():
    async def worker(ctx, tasks):
        async for task in tasks:
            script = ctx.new_script(wait_for_results=False)
            said = script.run("/bin/sh", "-c", "sleep 0.2; echo later")
            answer = yield script
            early = said.done()
            results = await answer
            other = ctx.new_script()
            word = other.run("/bin/sh", "-c", "echo next")
            yield other, ExecOptions(wait_for_results=True)
            task.accept_result([early, results[0].stdout, (await word).stdout])

    done = await run(worker, [1])
    assert done[1].result == [False, "later\n", "next\n"]


@played
async def test_a_failure_that_nobody_awaits_is_thrown_at_the_next_yield():
    async def worker(ctx, tasks):
        async for task in tasks:
            script = ctx.new_script(wait_for_results=False)
            command = script.run("/bin/false")
            yield script
            try:
                yield ctx.new_script()
            except CommandExecutionError:
                with pytest.raises(CommandExecutionError):
                    await command
                task.accept_result("told")

    assert (await run(worker, [1]))[1].result == "told"


@played
async def test_awaiting_a_command_before_its_script_is_yielded_raises_instead_of_hanging():
    async def worker(ctx, tasks):
        async for task in tasks:
            command = ctx.new_script().run("/bin/true")
            with pytest.raises(RuntimeError, match="Yield the script first"):
                await command
            yield ctx.new_script()
            task.accept_result("raised")

    assert (await run(worker, [1]))[1].result == "raised"


@played
async def test_a_worker_may_set_up_its_machine_itself():
    async def worker(ctx, tasks):
        script = ctx.new_script()
        script.deploy()
        script.start()
        yield script
        async for task in tasks:
            script = ctx.new_script()
            said = script.run("/bin/echo", "up")
            yield script
            task.accept_result((await said).stdout)

    assert (await run(worker, [1], implicit_init=False))[1].result == "up\n"


@real_commands
@played
async def test_commands_and_events_of_the_programs_own_work():
    hooks = []

    class Shout(Command):
        def __init__(self, word):
            self.word = word

        def evaluate(self):
            return {"run": {"entry_point": "/bin/echo", "args": [self.word.upper()]}}

        async def before(self):
            hooks.append("before")

        async def after(self):
            hooks.append("after")

    class Shouted(events.TaskEvent):
        pass

    async def worker(ctx, tasks):
        async for task in tasks:
            script = ctx.new_script()
            said = script.add(Shout("hey"))
            yield script
            task.emit(Shouted, loud=True)
            task.accept_result((await said).stdout)

    heard = Heard()
    done = await run(worker, [1], heard=heard)
    assert (done[1].result, hooks) == ("HEY\n", ["before", "after"])
    (shouted,) = heard.of(Shouted)
    assert shouted.loud and shouted.task is done[1] and shouted.activity.id


@real_commands
@played
async def test_output_is_streamed_where_it_is_asked_for():
    async def worker(ctx, tasks):
        async for task in tasks:
            script = ctx.new_script()
            said = script.run("/bin/sh", "-c", "echo out; echo err >&2")
            yield script
            task.accept_result((await said).stdout)

    heard = Heard()
    done = await run(worker, [1], heard=heard, stream_output=True)
    assert done[1].result == "out\n"
    assert heard.of(events.CommandStarted)[0].command.words() == "run /bin/sh -c echo out; echo err >&2"
    assert "".join(event.output for event in heard.of(events.CommandStdOut)) == "out\n"
    assert "".join(event.output for event in heard.of(events.CommandStdErr)) == "err\n"


# ---- tasks and jobs ----


async def echo(ctx, tasks):
    """Give each task its data back."""
    async for task in tasks:
        script = ctx.new_script()
        script.run("/bin/true")
        yield script
        task.accept_result(task.data)


@played
async def test_tasks_come_from_lists_generators_and_async_generators():
    async def source():
        for n in range(30):
            yield Task(data=n)

    assert set(await run(echo, source())) == set(range(30))
    assert set(await run(echo, (Task(data=n) for n in range(30)))) == set(range(30))
    assert set(await run(echo, [])) == set()


@played
async def test_a_task_breeds_tasks_through_an_async_source():
    queue = asyncio.Queue()

    async def source():
        while True:
            n = await queue.get()
            if n is None:
                return
            yield Task(data=n)

    found = []
    queue.put_nowait(1)
    async with Golem(budget=1, event_consumer=Heard()) as golem:
        async for task in golem.execute_tasks(echo, source(), payload=await package()):
            found.append(task.result)
            queue.put_nowait(task.result + 1 if task.result < 5 else None)
    assert found == [1, 2, 3, 4, 5]


@played
async def test_what_a_source_raises_reaches_the_program():
    def source():
        yield Task(data=1)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        await run(echo, source())


@played
async def test_a_rejected_task_is_tried_again_only_with_retry():
    seen = []

    async def worker(ctx, tasks):
        async for task in tasks:
            seen.append(task.data)
            script = ctx.new_script()
            script.run("/bin/true")
            yield script
            if task.data == "again" and seen.count("again") < 3:
                task.reject_result("not yet", retry=True)
            elif task.data == "never":
                task.reject_result("no good")
            else:
                task.accept_result("good")

    heard = Heard()
    done = await run(worker, ["again", "never", "fine"], heard=heard)
    assert sorted(done) == ["again", "fine"]
    assert (seen.count("again"), seen.count("never")) == (3, 1)
    reasons = [event.reason for event in heard.of(events.TaskRejected)]
    assert sorted(reasons) == ["no good", "not yet", "not yet"]
    assert heard.of(events.JobFinished)[0].exception is None


@played
async def test_a_task_that_fails_again_and_again_ends_the_loop_with_an_error_that_lists_it():
    async def worker(ctx, tasks):
        async for task in tasks:
            script = ctx.new_script()
            script.run("/bin/false" if task.data == "bad" else "/bin/true")
            yield script
            task.accept_result()

    heard = Heard()
    with pytest.raises(UnfinishedTasks) as caught:
        await run(worker, ["bad", "good"], heard=heard)
    error = caught.value
    assert "exited with code 1" in error.reasons[error.failed[0].id], error.reasons
    assert (error.cause, [task.data for task in error.failed], error.unfinished) == ("tasks_failed", ["bad"], [])
    assert list(error.reasons) == [error.failed[0].id]
    assert str(error).startswith(f"One task failed for good: it is {error.failed[0]!r}, and its last failure is: "), error
    assert [event.task_data for event in heard.of(events.TaskAccepted)] == ["good"]
    assert heard.of(events.JobFinished)[0].exception is error
    assert any(isinstance(event.exception, BatchError) for event in heard.of(events.WorkerFinished))


@played
async def test_what_a_worker_raises_fails_the_attempt_and_not_the_program():
    raised = []

    async def worker(ctx, tasks):
        async for task in tasks:
            if not raised:
                raised.append(1)
                raise KeyError("a mistake")
            script = ctx.new_script()
            yield script
            task.accept_result("second attempt")

    assert (await run(worker, [1]))[1].result == "second attempt"


@played
async def test_the_programs_own_exception_is_the_reason_that_is_told(caplog):
    async def worker(ctx, tasks):
        async for task in tasks:
            yield ctx.new_script()
            raise KeyError("a mistake of the program")

    with pytest.raises(UnfinishedTasks, match="a mistake of the program"):
        await run(worker, [1])
    assert "The worker failed on provider '" in caplog.text
    assert 'raise KeyError("a mistake of the program")' in caplog.text, "with the program's own line"


@pytest.mark.parametrize("ends", [False, True])
@played
async def test_a_task_that_its_worker_forgets_is_tried_again(ends):
    seen = []

    async def worker(ctx, tasks):
        async for task in tasks:
            seen.append(task.data)
            yield ctx.new_script()
            if len(seen) > 1:
                task.accept_result("remembered")
            if ends:
                return

    assert (await run(worker, [1]))[1].result == "remembered"


@played
async def test_a_worker_may_have_several_tasks_in_hand():
    async def worker(ctx, tasks):
        pack = []
        async for task in tasks:
            pack.append(task)
            if len(pack) == 3:
                yield ctx.new_script()
                for done in pack:
                    done.accept_result(len(pack))
                pack = []

    assert {task.result for task in (await run(worker, range(6), max_workers=1)).values()} == {3}


@played
async def test_a_timeout_of_the_job_is_an_error_with_what_is_unfinished():
    async def worker(ctx, tasks):
        async for task in tasks:
            script = ctx.new_script()
            script.run("/bin/sleep", "0" if task.data == "quick" else "60")
            yield script
            task.accept_result()

    got = []
    async with Golem(budget=1, event_consumer=Heard()) as golem:
        tasks = [Task(data="quick"), Task(data="slow")]
        with pytest.raises(TasksTimeout) as caught:
            async for task in golem.execute_tasks(worker, tasks, await package(), timeout=timedelta(seconds=2)):
                got.append(task.data)
    assert got == ["quick"]
    assert isinstance(caught.value, asyncio.TimeoutError)
    assert [task.data for task in caught.value.unfinished] == ["slow"]


@played
async def test_jobs_run_at_once_and_one_after_the_other_within_one_budget(devnet):
    async with Golem(budget="0.5", event_consumer=Heard()) as golem:
        image = await package()

        async def job(name):
            return {t.data async for t in golem.execute_tasks(echo, [Task(data=name)], image, job_id=f"job {name}")}

        assert await asyncio.gather(job("a"), job("b")) == [{"a"}, {"b"}]
        assert len(golem._markets) == 1
        with pytest.raises(ValueError, match="used already"):
            golem.execute_tasks(echo, [], image, job_id="job a")
        larger = await package(min_mem_gib=0.25)
        assert {t.data async for t in golem.execute_tasks(echo, [Task(data=1)], larger)} == {1}
        assert len(golem._markets) == 1
        rest = Decimal(golem._markets[0].native.budget())
        assert Decimal(0) < golem._spent and rest == Decimal("0.5") - golem._spent


@played
async def test_payloads_at_once_need_shares_of_the_budget():
    async with Golem(budget=1, event_consumer=Heard()) as golem:
        small, large = await package(), await package(min_mem_gib=0.75)

        async def first(payload, **share):
            async for task in golem.execute_tasks(echo, [Task(data=1)], payload, **share):
                await asyncio.sleep(0.2)
                return task.result

        with pytest.raises(BudgetInUse, match="share"):
            await asyncio.gather(first(small), first(large))
    async with golem:
        assert await asyncio.gather(first(small, budget=0.5), first(large, budget=0.5)) == [1, 1]


@played
async def test_a_budget_that_is_used_up_ends_each_call_with_an_error():
    markets = []
    async with Golem(budget="0.00000001", event_consumer=Heard()) as golem:
        for _ in range(2):
            with pytest.raises(UnfinishedTasks, match="budget of 0.00000001 GLM") as caught:
                async for _ in golem.execute_tasks(echo, [Task(data=1)], await package()):
                    pass
            assert (caught.value.cause, len(caught.value.unfinished)) == ("budget_reached", 1)
            markets += golem._markets
    assert len(set(markets)) == 2, "what the first call's agreements gave back is there for the second"


@played
async def test_leaving_the_loop_early_and_the_block_ends_everything():
    heard = Heard()
    async with Golem(budget=1, event_consumer=heard) as golem:
        completed = golem.execute_tasks(echo, [Task(data=n) for n in range(50)], await package())
        async for _ in completed:
            break
        devnet = golem._devnet
        assert devnet is not None
        stopped = devnet.stop
        books = {}

        async def stop():
            books.update(open=devnet.open_agreements(), unpaid=devnet.unpaid_invoices())
            await stopped()

        golem._devnet = type("Watched", (), {"stop": staticmethod(stop)})
    assert books == {"open": 0, "unpaid": 0}
    assert not golem.operative
    assert heard.names()[-1] == "ShutdownFinished"
    assert heard.of(events.InvoiceAccepted) and heard.names().count("JobFinished") == 1


@played
async def test_closing_the_loop_early_cancels_the_rest():
    done = []

    async def worker(ctx, tasks):
        async for task in tasks:
            yield ctx.new_script()
            await asyncio.sleep(0.01)
            done.append(task.data)
            task.accept_result()

    async with Golem(budget=1, event_consumer=Heard()) as golem:
        completed = golem.execute_tasks(worker, [Task(data=n) for n in range(500)], await package())
        async for _ in completed:
            break
        await completed.aclose()
        await asyncio.sleep(0.3)
        before = len(done)
        await asyncio.sleep(0.3)
        assert len(done) == before < 100


@played
async def test_a_loop_whose_golem_is_stopped_ends_with_an_error():
    async def worker(ctx, tasks):
        async for task in tasks:
            script = ctx.new_script()
            script.run("/bin/sleep", "60")
            yield script
            task.accept_result()

    heard = Heard()
    golem = Golem(budget=1, event_consumer=heard)
    await golem.start()

    async def read():
        async for _ in golem.execute_tasks(worker, [Task(data="x")], await package()):
            pass

    reading = asyncio.ensure_future(read())
    while not heard.of(events.TaskStarted):
        await asyncio.sleep(0.01)
    await golem.stop()
    with pytest.raises(UnfinishedTasks, match="was stopped before") as caught:
        await reading
    assert (caught.value.cause, [task.data for task in caught.value.unfinished]) == ("closed", ["x"])


@played
async def test_a_golem_starts_again_after_its_stop():
    golem = Golem(budget=1, event_consumer=Heard())
    for n in range(2):
        await golem.start()
        await golem.start()
        assert [t.data async for t in golem.execute_tasks(echo, [Task(data=n)], await package())] == [n]
        await golem.stop(wait_for_payments=n == 0)
        await golem.stop()
        assert not golem.operative


@played
async def test_a_worker_that_closes_its_tasks_ends_its_agreement_and_others_do_the_rest(devnet):
    devnet.providers = 3

    async def worker(ctx, tasks):
        async for task in tasks:
            yield ctx.new_script()
            task.accept_result(ctx.provider_id)
            await tasks.aclose()

    heard = Heard()
    done = await run(worker, range(3), max_workers=1, heard=heard)
    assert len({task.result for task in done.values()}) == 3
    assert not [event for event in heard.of(events.WorkerFinished) if event.exception]


# ---- events ----


@played
async def test_events_tell_the_story_with_what_they_are_about():
    heard, few = Heard(), Heard()
    begin = datetime.now(timezone.utc)
    async with Golem(budget=1, event_consumer=heard) as golem:
        golem.add_event_consumer(few, ["TaskEvent", events.InvoiceAccepted])
        with pytest.raises(ValueError, match="`NoSuchEvent` is not an event"):
            golem.add_event_consumer(few, ["NoSuchEvent"])
        golem.add_event_consumer(lambda event: 1 / 0, ["JobStarted"])
        async for _ in golem.execute_tasks(echo, [Task(data="x")], await package(), max_workers=1, job_id="story"):
            pass
    names = heard.names()
    order = (
        "JobStarted SubscriptionCreated ProposalReceived ProposalConfirmed AgreementCreated AgreementConfirmed ActivityCreated TaskStarted "
        "ScriptSent GettingResults CommandExecuted ScriptFinished TaskAccepted TaskFinished JobFinished AgreementTerminated "
        "ShutdownFinished"
    ).split()
    first = [names.index(name) for name in order if name != "SubscriptionCreated"]
    assert first == sorted(first), names
    # The invoice may come before the daemon has confirmed the end of the agreement.
    assert names.index("JobFinished") < names.index("InvoiceAccepted") < names.index("ShutdownFinished"), names
    assert few.names() == ["TaskStarted", "TaskAccepted", "TaskFinished", "InvoiceAccepted"]
    accepted, invoice = few[1], few[3]
    assert {event.agr_id for event in heard.of(events.AgreementCreated, events.AgreementConfirmed)} == {accepted.agr_id}
    assert (accepted.task_data, accepted.result, accepted.job_id) == ("x", "x", "story")
    assert invoice.amount > 0 and isinstance(invoice.amount, Decimal)
    assert invoice.agr_id == accepted.agr_id and invoice.provider_id == accepted.provider_id
    assert invoice.provider_info.name == accepted.provider_name
    times = [event.timestamp for event in heard]
    assert begin - timedelta(seconds=1) < min(times) and len(set(times)) > 5


@played
async def test_the_summary_says_what_happened(caplog):
    with caplog.at_level(logging.DEBUG, "yapapi"):
        await run(echo, ["a", "b"], heard=log_summary(), max_workers=1)
    text = caplog.text
    for words in (
        "Received proposals from",
        "Agreement confirmed by provider '",
        "Task started on provider '",
        "Task finished by provider '",
        "cmds: run /bin/true",
        "Job finished in ",
        "Negotiated 1 agreement with 1 provider",
        "' computed 2 tasks",
        "Accepted invoice from '",
        "Total cost: 0.",
        "Golem engine has shut down",
    ):
        assert words in text, words
    assert "ERROR" not in text


# ---- the executor of 0.5 ----


@played
async def test_an_executor_takes_several_piles_and_ends_with_its_block():
    async with Executor(package=await package(), budget=1, max_workers=2, timeout=timedelta(minutes=1)) as executor:
        assert (executor.driver, executor.network) == ("erc20", "hoodi")
        for pile in ([1, 2], [3]):
            assert {t.result async for t in executor.submit(echo, [Task(data=n) for n in pile])} == set(pile)
        assert len(executor._golem._markets) == 1
    with pytest.raises(RuntimeError, match="has ended"):
        executor.submit(echo, [])


@played
async def test_all_piles_of_an_executor_share_its_timeout():
    async with Executor(package=await package(), budget=1, timeout=timedelta(seconds=1)) as executor:
        await asyncio.sleep(1.1)
        with pytest.raises(TasksTimeout):
            async for _ in executor.submit(echo, [Task(data=1)]):
                pass


# ---- what the demand says ----


def test_counters_and_json_of_a_demand_are_plain():
    assert json.dumps({Counter.CPU.value: 1}) == '{"golem.usage.cpu_sec": 1}'
