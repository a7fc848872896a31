"""Input that can't work is refused by a sentence that says what to do."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from golem_tasks.yapapi import Executor, Golem, NotAvailable, Task, _mode, events
from golem_tasks.yapapi.config import ApiConfig, MissingConfiguration
from golem_tasks.yapapi.contrib.strategy import ProviderFilter
from golem_tasks.yapapi.errors import EngineError
from golem_tasks.yapapi.payload import vm
from golem_tasks.yapapi.payload.package import PackageException
from golem_tasks.yapapi.script.capture import CaptureContext
from golem_tasks.yapapi.services import Service
from golem_tasks.yapapi.strategy import LeastExpensiveLinearPayuMS, MarketStrategy

IMAGE = "9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae"


@pytest.fixture(autouse=True)
def devnet():
    _mode.turn_devnet_on(_mode.DevnetMode(providers=1, instant=True, scripted=[]))
    yield
    _mode.turn_devnet_on(None)


def play(test):
    asyncio.run(asyncio.wait_for(test, 20))


def executed(worker, **settings):
    """Run one task by this worker; what the program gets to hear."""

    async def main():
        async with Golem(budget=1, event_consumer=lambda event: None) as golem:
            package = await vm.repo(image_hash=IMAGE)
            return [task.result async for task in golem.execute_tasks(worker, [Task(data=1)], package, **settings)]

    return asyncio.run(asyncio.wait_for(main(), 20))


async def fine(ctx, tasks):
    async for task in tasks:
        yield ctx.new_script()
        task.accept_result("fine")


# ---- workers ----


async def never_yields(ctx, tasks):
    pass


def plain_generator(ctx, tasks):
    yield


@pytest.mark.parametrize(
    "worker, message",
    [
        (never_yields, "never yields"),
        (plain_generator, "plain generator"),
        (7, "The worker is of the type `int`"),
        (lambda ctx, tasks: None, "returned an object of the type `NoneType` instead of an async generator"),
        (lambda ctx, tasks: never_yields(ctx, tasks), "returned an object of the type `coroutine` instead of an async generator"),
    ],
)
def test_a_worker_that_is_no_async_generator_is_refused(worker, message):
    with pytest.raises(TypeError, match=message):
        executed(worker)


@pytest.mark.parametrize(
    "what, message", [("nothing", "yielded an object of the type `NoneType`"), ("command", "yielded an object of the type `CommandResult`")]
)
def test_a_worker_that_yields_no_script_ends_the_job_at_once(what, message):
    async def worker(ctx, tasks):
        async for _ in tasks:
            yield None if what == "nothing" else ctx.new_script().run("/bin/true")

    with pytest.raises(TypeError, match=message):
        executed(worker)


def refused(act):
    """Run ``act`` in a worker; the error that it raises there."""

    async def worker(ctx, tasks):
        async for task in tasks:
            error = None
            script = ctx.new_script()
            script.run("/bin/true")
            yield script
            try:
                for step in act(ctx, task, script):
                    yield step
            except Exception as raised:  # noqa: BLE001
                error = raised
            if task._native is not None:
                task.accept_result(error)
            else:
                task._result = error

    (error,) = executed(worker)
    assert error is not None
    return error


def test_a_task_is_answered_once():
    def accept_twice(ctx, task, script):
        task.accept_result(1)
        task.accept_result(2)
        yield

    def reject_after(ctx, task, script):
        task.accept_result(1)
        task.reject_result()
        yield

    for act in (accept_twice, reject_after):
        error = refused(act)
        assert isinstance(error, RuntimeError) and "accepted already. Answer each task once." in str(error)
    with pytest.raises(RuntimeError, match="which no worker has"):
        Task(data=1).accept_result()
    with pytest.raises(RuntimeError, match="has not started"):
        Task(data=1).emit(events.TaskStarted)


def test_a_script_is_sent_once_and_by_its_own_worker():
    def twice(ctx, task, script):
        yield script

    def added_late(ctx, task, script):
        script.run("/bin/true")
        yield

    def shared_command(ctx, task, script):
        ctx.new_script().add(script._commands[0])
        yield

    def no_command(ctx, task, script):
        ctx.new_script().add("run")
        yield

    for act, message in (
        (twice, "a second time"),
        (added_late, "sent already"),
        (shared_command, "belongs to a script"),
        (no_command, "and not an object of the type `str`"),
    ):
        assert message in str(refused(act))


# ---- calls ----


@pytest.mark.parametrize(
    "changes, error, message",
    [
        ({"data": 5}, TypeError, "The tasks are of the type `int`"),
        ({"data": [5]}, TypeError, "Wrap each unit of work"),
        ({"payload": "golem/alpine:latest"}, TypeError, "The payload is of the type `str`"),
        ({"max_workers": 0}, ValueError, "`max_workers` is 0"),
        ({"max_workers": "3"}, ValueError, "`max_workers` is '3'"),
        ({"timeout": 60}, ValueError, "`timeout` is 60"),
        ({"timeout": timedelta(0)}, ValueError, "above zero"),
        ({"budget": -1}, ValueError, "Give a number above zero"),
    ],
)
def test_arguments_that_cannot_work_are_refused_at_the_call(changes, error, message):
    async def main():
        async with Golem(budget=1) as golem:
            settings = {"data": [Task(data=1)], "payload": await vm.repo(image_hash=IMAGE), **changes}
            with pytest.raises(error, match=message):
                golem.execute_tasks(fine, **settings)

    play(main())


def test_a_payload_that_is_not_awaited_is_refused_with_the_mend():
    repo = vm.repo(image_hash=IMAGE)
    with pytest.raises(TypeError, match="Await it"):
        Executor(package=repo, budget=1)
    repo.close()


def test_a_task_is_handed_in_once():
    async def main():
        package, task = await vm.repo(image_hash=IMAGE), Task(data=1)
        async with Golem(budget=1, event_consumer=lambda event: None) as golem:
            assert [done async for done in golem.execute_tasks(fine, [task], package)] == [task]
            with pytest.raises(ValueError, match="handed in before"):
                golem.execute_tasks(fine, [task], package)
            with pytest.raises(ValueError, match="handed in before"):
                async for _ in golem.execute_tasks(fine, iter([task]), package):
                    pass

    play(main())


def test_a_golem_is_used_while_it_is_started_and_on_one_event_loop():
    async def unstarted():
        golem = Golem(budget=1)
        with pytest.raises(RuntimeError, match="isn't started"):
            async for _ in golem.execute_tasks(fine, [], await vm.repo(image_hash=IMAGE)):
                pass

    play(unstarted())

    async def start():
        return await Golem(budget=1, event_consumer=lambda event: None).__aenter__()

    async def use(golem):
        async for _ in golem.execute_tasks(fine, [], await vm.repo(image_hash=IMAGE)):
            pass

    loop = asyncio.new_event_loop()
    golem = loop.run_until_complete(start())
    with pytest.raises(RuntimeError, match="another event loop"):
        play(use(golem))
    loop.run_until_complete(golem.stop())
    loop.close()


@pytest.mark.parametrize(
    "settings, error, message",
    [
        ({"budget": 0}, ValueError, "above zero"),
        ({"budget": float("nan")}, ValueError, "above zero"),
        ({"budget": "much"}, ValueError, "isn't a number of GLM"),
        ({"budget": None}, TypeError, "`budget` is of the type `NoneType`"),
        ({"budget": True}, TypeError, "`budget` is of the type `bool`"),
        ({"budget": 1, "strategy": LeastExpensiveLinearPayuMS}, TypeError, "Derive it from `MarketStrategy`"),
        ({"budget": 1, "event_consumer": 5}, TypeError, "The event consumer is of the type `int`"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        Golem(**settings)


def test_the_strategy_of_a_started_golem_stays():
    async def main():
        async with Golem(budget=1, event_consumer=lambda event: None) as golem:
            with pytest.raises(AttributeError, match="Stop it first"):
                golem.strategy = LeastExpensiveLinearPayuMS()
        golem.strategy = LeastExpensiveLinearPayuMS()

    play(main())


def test_strategies_refuse_settings_that_cannot_work():
    for settings in ({"expected_time_secs": 0}, {"max_fixed_price": Decimal(-1)}, {"max_price_for": {"x": Decimal("nan")}}):
        with pytest.raises(ValueError, match="Give a number"):
            LeastExpensiveLinearPayuMS(**settings)
    with pytest.raises(TypeError, match="The base strategy is of the type `str`"):
        ProviderFilter("cheap", lambda provider: True)
    with pytest.raises(TypeError, match="`is_allowed` is of the type `list`"):
        ProviderFilter(LeastExpensiveLinearPayuMS(), ["0x1"])
    with pytest.raises(TypeError):
        MarketStrategy()


@pytest.mark.parametrize(
    "image, message",
    [
        ({}, "No image is named"),
        ({"image_hash": IMAGE, "image_tag": "a/b:c"}, "not both"),
        ({"image_url": "http://x/y"}, "needs the `image_hash`"),
        ({"image_url": "http://x/y", "image_hash": IMAGE, "image_tag": "a/b:c"}, "not both"),
        ({"image_hash": IMAGE[:-1]}, "Copy it whole"),
    ],
)
def test_an_image_is_named_in_one_way(image, message):
    with pytest.raises(PackageException, match=message):
        asyncio.run(vm.repo(**image))


def test_the_parts_of_a_signature_belong_together():
    for parts in ({"manifest_sig": b"x"}, {"manifest_cert": "c", "manifest_sig_algorithm": "sha256"}):
        with pytest.raises(ValueError, match="Give all three or none"):
            asyncio.run(vm.manifest(manifest="{}", **parts))
    with pytest.raises(ValueError, match="isn't base64"):
        asyncio.run(vm.manifest(manifest="{}", manifest_sig="no!", manifest_sig_algorithm="sha256", manifest_cert="eA=="))


def test_captures_are_named_by_words_that_there_are():
    with pytest.raises(ValueError, match="`middle` is not a mode"):
        CaptureContext.build(mode="middle")
    with pytest.raises(ValueError, match="`hex` is not a format"):
        CaptureContext.build(fmt="hex")


# ---- no daemon, and what isn't there ----


def test_a_missing_key_and_a_missing_daemon_are_told(monkeypatch):
    _mode.turn_devnet_on(None)
    monkeypatch.delenv("YAGNA_APPKEY", raising=False)
    monkeypatch.setenv("YAGNA_API_URL", "http://127.0.0.1:9")

    async def without_key():
        async with Golem(budget=1, event_consumer=lambda event: None):
            pass

    with pytest.raises(MissingConfiguration, match="`YAGNA_APPKEY` isn't set"):
        play(without_key())

    async def without_daemon():
        config = ApiConfig(app_key="secret-key")
        assert "secret" not in repr(config)
        async with Golem(budget=1, api_config=config, event_consumer=lambda event: None) as golem:
            image = await vm.repo(image_url="http://127.0.0.1/x", image_hash=IMAGE)
            async for _ in golem.execute_tasks(fine, [], image):
                pass

    with pytest.raises(EngineError, match="127.0.0.1:9") as caught:
        play(without_daemon())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "variables, message",
    [
        ({"GOLEM_DEVNET": "yes"}, "`GOLEM_DEVNET` is `yes`. Set it to a number"),
        ({"GOLEM_DEVNET": "2", "GOLEM_DEVNET_IMAGE": "/nowhere"}, "`/nowhere`, which is not a folder"),
    ],
)
def test_a_devnet_of_the_environment_is_checked(variables, message, monkeypatch):
    _mode.turn_devnet_on(None)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        asyncio.run(Golem(budget=1).start())
    monkeypatch.setenv("GOLEM_DEVNET", "0")
    assert _mode.devnet() is None


def test_services_and_networks_raise_a_sentence_that_names_the_way_out():
    golem = Golem(budget=1)
    for call in (golem.run_service, golem.resume_service):
        with pytest.raises(NotAvailable, match="Services aren't part of golem-tasks yet. Run a long task"):
            call(Service)
    for network in (golem.create_network, golem.resume_network):
        with pytest.raises(NotAvailable, match="Virtual networks aren't part"):
            asyncio.run(network("192.168.0.1/24"))
    with pytest.raises(NotAvailable, match="`yapapi.services.service.Service`"):

        class Mine(Service):
            pass

    with pytest.raises(NotAvailable):
        Service()
    assert issubclass(NotAvailable, NotImplementedError)
