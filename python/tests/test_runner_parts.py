"""The parts of running a module that need no run: what tells callables apart, how they are read, and what is wrong with a module."""

import asyncio
import functools
import json
import subprocess
import sys
import textwrap
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import environment

from golem_tasks._identity import identity
from golem_tasks._module import ModuleError, is_job_file, load
from golem_tasks._pile import Gone, Pile
from golem_tasks.golem_core import GolemNode, Payload, commands, low
from golem_tasks.golem_core.low.batch import events_of

IMAGE = "9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae"


def closure(number, other=None):
    async def multiply(activity):
        return number, other

    return multiply


class Part:
    def __init__(self, start):
        self.start = start

    async def __call__(self, activity):
        pass

    async def search(self, activity):
        pass


@pytest.fixture(autouse=True)
def imports(monkeypatch):
    """Leaves no trace of the modules that a test loads."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = dict(sys.modules)
    yield
    for name in set(sys.modules) - set(before):
        if name.split(".")[0] in ("golem_core", "yapapi", "work", "jobs"):
            del sys.modules[name]


# ---- what tells callables apart ----


def test_a_closure_over_plain_values_is_known_by_them_and_not_by_its_position():
    assert identity(closure(3), 0) == identity(closure(3), 9) == {"callable": "multiply(number=3, other=None)"}
    assert identity(closure(3), 0) != identity(closure(4), 0)
    assert identity(functools.partial(closure(1), "x", y=2), 5) == {"callable": "multiply(number=1, other=None)('x', y=2)"}


def test_what_cannot_be_described_is_known_by_its_position_too():
    assert identity(closure([1, 2]), 7) == {"callable": "multiply(number=list(), other=None)", "position": 7}
    assert identity(Part(3), 1) == {"callable": "Part(start=3)", "position": 1}
    assert identity(Part(3).search, 1) == {"callable": "Part(start=3).search", "position": 1}


def test_long_values_are_not_described_so_that_callables_that_share_one_are_read_fast():
    assert identity(closure(tuple(range(10**6)), 3), 7) == {"callable": "multiply(number=tuple of 1000000, other=3)", "position": 7}
    assert identity(closure(b"x" * 10**6), 7) == {"callable": "multiply(number=bytes of 1000000, other=None)", "position": 7}


def test_a_key_is_all_that_a_callable_is_known_by():
    task = closure(object())
    task.key = "night-1"
    assert identity(task, 8) == "night-1"
    task.key = (1, "a")
    assert identity(task, 8) == [1, "a"]
    task.key = lambda: "called"
    assert identity(task, 8) == "called"


@pytest.mark.parametrize("key", [object(), {1, 2}, float("nan"), b"bytes"])
def test_a_key_that_is_not_json_is_refused_with_the_name_of_the_callable(key):
    task = closure(1)
    task.key = key
    with pytest.raises(TypeError, match=r"^The key of multiply\(number=1, other=None\) is .*A key must be a text"):
        identity(task, 0)


def test_a_long_description_is_cut_but_still_tells_callables_apart():
    one, other = identity(closure("x" * 500 + "1"), 0), identity(closure("x" * 500 + "2"), 0)
    assert one != other
    assert len(json.dumps(one)) < 250


# ---- the pile ----


def reading(get_tasks, check):
    """Reads a pile as the engine does, from a thread of its own, while the event loop runs."""

    async def main():
        pile = Pile(get_tasks, asyncio.get_running_loop())
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, check, pile, loop)

    return asyncio.run(asyncio.wait_for(main(), 20))


def test_tasks_are_read_on_the_event_loops_thread_as_they_are_wanted():
    threads = set()

    def get_tasks(run_id):
        assert run_id == "night"
        for number in range(10**9):
            threads.add(threading.get_ident())
            yield closure(number)

    def check(pile, loop):
        tasks = pile.tasks("night")
        return [next(tasks) for _ in range(500)]

    read = reading(get_tasks, check)
    assert read[499] == {"callable": "multiply(number=499, other=None)"}
    assert threads == {threading.get_ident()}


def test_an_async_generator_is_read_too():
    async def get_tasks(run_id):
        for number in range(3):
            await asyncio.sleep(0)
            yield closure(number)

    assert len(reading(get_tasks, lambda pile, loop: list(pile.tasks("")))) == 3


def test_a_callable_is_found_by_what_was_stored_of_it_wherever_it_is():
    tasks = [closure(number) for number in range(200)]

    def check(pile, loop):
        iterator = pile.tasks("")
        next(iterator)
        find = lambda stored: asyncio.run_coroutine_threadsafe(pile.find(stored), loop).result()  # noqa: E731
        far = find({"callable": "multiply(number=150, other=None)"})
        with pytest.raises(Gone, match=r"no longer yields multiply\(number=900"):
            find({"callable": "multiply(number=900, other=None)"})
        return far, len(list(iterator))

    assert reading(lambda run_id: iter(tasks), check) == (tasks[150], 199)


def test_looking_in_vain_for_many_reads_no_more_than_looking_for_one():
    read = []

    def get_tasks(run_id):
        for number in range(10**9):
            read.append(number)
            yield closure(number)

    def check(pile, loop):
        next(pile.tasks(""))
        for number in range(20):
            with pytest.raises(Gone):
                asyncio.run_coroutine_threadsafe(pile.find({"callable": f"old({number})"}), loop).result()

    reading(get_tasks, check)
    assert 10_000 <= len(read) < 11_000


def test_a_callable_may_be_asked_for_again_after_it_succeeded():
    task = closure(1)

    def check(pile, loop):
        [stored] = pile.tasks("")
        pile.succeeded(stored)
        return asyncio.run_coroutine_threadsafe(pile.find(stored), loop).result()

    assert reading(lambda run_id: [task], check) is task


def test_callables_of_finished_tasks_are_not_kept():
    def check(pile, loop):
        for number in range(1000):
            pile.note_done(number, {"callable": f"multiply(number={number}, other=None)"})
        list(pile.tasks(""))
        return len(pile._callables)

    assert reading(lambda run_id: (closure(number) for number in range(1005)), check) == 5


def broken(run_id):
    yield closure(1)
    raise OSError("no such table")


async def no_generator(run_id):
    return []


@pytest.mark.parametrize(
    ("get_tasks", "error", "message"),
    [
        (lambda run_id: 3, TypeError, "get_tasks returned 3. Yield the tasks, or return a list of them."),
        (no_generator, TypeError, "get_tasks is a coroutine function without `yield`"),
        (lambda run_id: [closure(1), "x"], TypeError, "get_tasks yielded 'x' at position 1, which can't be called"),
        (broken, OSError, "no such table"),
        (lambda run_id: [no_generator("x")], TypeError, "get_tasks yielded the coroutine no_generator at position 0. Yield the function itself"),
    ],
)
def test_what_is_wrong_with_get_tasks_is_raised_where_it_is_read(get_tasks, error, message):
    with pytest.raises(error, match=message):
        reading(get_tasks, lambda pile, loop: list(pile.tasks("")))


def test_tasks_before_a_broken_one_are_read():
    def check(pile, loop):
        tasks = pile.tasks("")
        return next(tasks)

    assert reading(broken, check) == {"callable": "multiply(number=1, other=None)"}


# ---- payloads, commands ----


def test_payloads_say_what_the_engine_takes():
    assert Payload.from_image_hash(IMAGE, min_mem_gib=1, capabilities=("vpn",)).__golem_payload__() == {
        "image": IMAGE,
        "min_mem_gib": 1,
        "capabilities": ["vpn"],
    }
    by_url = Payload.from_image_url("http://example.org/a.gvmi", IMAGE)
    assert by_url.__golem_payload__() == {"image_url": "http://example.org/a.gvmi", "image_hash": IMAGE}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Payload.from_image_hash(""), ValueError, "image_hash must be a text that isn't empty"),
        (lambda: Payload.from_image_hash(None), ValueError, "image_hash must be a text"),
        (lambda: Payload.from_image_url("http://example.org"), ValueError, "needs image_hash"),
        (lambda: Payload.from_image_hash(IMAGE, memory=3), TypeError, "has no option 'memory'.*min_mem_gib"),
        (lambda: Payload.from_image_hash(IMAGE, capabilities="vpn"), TypeError, "capabilities must be a list"),
        (lambda: commands.Run(3), TypeError, "Run takes a text or a list"),
        (lambda: commands.Run(["/bin/echo", 3]), TypeError, "3 isn't one. Use str"),
        (lambda: commands.Run([]), ValueError, "path of a program"),
        (lambda: commands.Run(["echo 1"]), ValueError, "path of a program without whitespace"),
        (lambda: commands.Deploy({"net": []}), NotImplementedError, "Networks between providers"),
        (lambda: GolemNode(), NotImplementedError, r"golem_core.GolemNode isn't part of golem_tasks: give PAYLOAD"),
        (lambda: low.Network.create("x"), NotImplementedError, "Network.create isn't part of golem_tasks"),
    ],
)
def test_wrong_and_absent_things_are_told_at_once(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("run", "program", "args"),
    [
        (commands.Run("echo $((3 * 7))"), "/bin/sh", ["-c", "echo $((3 * 7))"]),
        (commands.Run(["/bin/echo", "a b"]), "/bin/echo", ["a b"]),
        (commands.Run(["echo", "a b"], shell=True, shell_cmd="/bin/bash"), "/bin/bash", ["-c", "echo 'a b'"]),
        (commands.Run("/bin/echo 'a b'", shell=False), "/bin/echo", ["a b"]),
    ],
)
def test_texts_go_to_a_shell_and_lists_to_the_program(run, program, args):
    assert run._wire() == ("run", program, args)


@dataclass
class Result:
    stdout: str
    success: bool = True
    stderr: str = ""
    message: object = None
    at: float = 0.0


def test_each_command_has_an_event_those_with_nothing_to_do_too():
    batch = [commands.Deploy(), commands.Start(), commands.Run("date"), commands.Run("date")]
    events = events_of([Result("1"), Result("2")], batch, is_whole=True)
    assert [(event.index, event.stdout, event.is_batch_finished) for event in events] == [
        (0, None, False),
        (1, None, False),
        (2, "1", False),
        (3, "2", True),
    ]


# ---- modules ----

GOOD = f"""
    from golem_core import Payload, commands
    from golem_core.low import Activity
    PAYLOAD = Payload.from_image_hash("{IMAGE}")
    def get_tasks(run_id):
        yield None
"""


def written(folder, text, name="work.py"):
    path = Path(folder, name)
    path.write_text(textwrap.dedent(text))
    return path


def test_a_module_is_loaded_by_its_name_or_its_file_with_what_lies_beside_it(tmp_path):
    written(tmp_path, "IMAGE = 'golem/alpine:latest'", "beside.py")
    written(tmp_path, "from beside import IMAGE as PAYLOAD\nget_tasks = lambda run_id: []")
    script = "from golem_tasks._module import load; import sys; print(load(sys.argv[1]).payload['image'])"
    for name, folder in (("work", tmp_path), (str(tmp_path / "work.py"), "/"), ("work.py", tmp_path)):
        done = subprocess.run(
            [sys.executable, "-c", script, name], cwd=folder, env=environment(tmp_path), text=True, capture_output=True, timeout=30
        )
        assert (done.stdout, done.returncode) == ("golem/alpine:latest\n", 0), done.stderr


def test_golem_core_is_ours_for_a_module_and_one_and_the_same_under_both_names(tmp_path):
    written(tmp_path, GOOD)
    script = """
        import sys
        from golem_tasks._module import load
        work = load("work")
        import golem_core.low.exceptions, golem_core.commands, golem_tasks.golem_core.commands as ours
        assert golem_core.commands is ours and golem_core.commands.Run is ours.Run
        assert ours.__name__ == ours.__spec__.name == "golem_tasks.golem_core.commands"
        try:
            import golem_core.rest
        except ModuleNotFoundError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, env=environment(tmp_path), text=True, capture_output=True, timeout=30
    )
    assert "has no module golem_core.rest" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "the module .*work.py has no PAYLOAD and no get_tasks: it needs PAYLOAD"),
        ("PAYLOAD = 'a'\nget_tasks = 3", "get_tasks of .* is 3: it must be a function"),
        ("PAYLOAD = 'a'\ndef get_tasks(): pass", "get_tasks of .* must take one argument, the run's id"),
        ("PAYLOAD = 'a'\nresults_cnt = 0\ndef get_tasks(run_id): pass", "results_cnt of .* is 0: it must be an async function"),
        ("PAYLOAD = object()\ndef get_tasks(run_id): pass", "the payload of .* can't be used: An object of builtins.object isn't a payload"),
        ("import nothing_like_it", r"can't be imported: ModuleNotFoundError: No module named 'nothing_like_it' \(.*work.py, line 1\)"),
        ("1 / 0", r"can't be imported: ZeroDivisionError: division by zero \(.*, line 1\)"),
        ("def (", "can't be imported: SyntaxError"),
    ],
)
def test_what_is_wrong_with_a_module_is_told(tmp_path, text, message):
    with pytest.raises(ModuleError, match=message):
        load(str(written(tmp_path, text)))


def test_a_folder_is_not_a_module(tmp_path, monkeypatch):
    (tmp_path / "jobs" / "night").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleError, match="jobs.night is the folder .*jobs/night, not a module; give the path of a file"):
        load("jobs.night")


def test_a_module_that_is_not_there_is_told_with_what_to_do():
    with pytest.raises(ModuleError, match="there is no module nothing_like_it, neither in this folder .* nor installed"):
        load("nothing_like_it")
    with pytest.raises(ModuleError, match="there is no file nothing_like_it.py"):
        load("nothing_like_it.py")


def test_a_payload_may_have_to_be_awaited(tmp_path):
    path = written(tmp_path, "async def repo(): return 'golem/alpine:latest'\nPAYLOAD = repo()\ndef get_tasks(run_id): pass")
    assert load(str(path)).payload == {"image": "golem/alpine:latest"}


def test_a_payload_may_be_that_of_yapapi(tmp_path):
    text = f"from yapapi.payload import vm\nPAYLOAD = vm.repo(image_hash='{IMAGE}', min_mem_gib=2)\ndef get_tasks(run_id): pass"
    payload = load(str(written(tmp_path, text))).payload
    assert payload.get("image", payload.get("image_hash")) == IMAGE and payload["min_mem_gib"] == 2


def test_job_files_are_told_from_modules(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("job").write_text("")
    assert [is_job_file(name) for name in ("a.toml", "jobs/a", "job", "-")] == [True] * 4
    assert [is_job_file(name) for name in ("examples.hello_world", "hello", "dir/hello.py")] == [False] * 3
