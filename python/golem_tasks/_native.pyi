"""The native module: the engine of golem-tasks, as thin as it can be.

Programs use :mod:`golem_tasks`, :mod:`golem_tasks.yapapi` or :mod:`golem_tasks.golem_core`; this interface may change with any version.

All decisions about money, retries, providers and recovery are made on the other side. Here, data goes in and out:

- Times are seconds as ``float``, GLM amounts are decimal texts such as ``"0.25"``, moments are seconds since 1970.
- What is called ``Awaitable`` is a future of the running event loop. Everything that an object does happens on the loop that it was made
  on; on another one its methods raise ``RuntimeError``.
- Cancelling an awaitable cancels what it stands for, unless its docstring says otherwise.
"""

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from os import PathLike
from typing import Any, Literal, Optional, TypedDict, Union, final

__version__: str

class Error(Exception):
    """Something failed in the engine, on the way to it, or on a provider.

    ``str(error)`` is a whole sentence that says what to do, where anything is known to help. ``kind`` is for programs, and ``details``
    has what else is known. A worker that lets an ``Error`` of its context through (also as the ``__cause__`` or ``__context__`` of
    another exception) hands the engine the very failure, so the engine judges it as if the worker were written in Rust.

    Kinds of a start: ``no_app_key``, ``address``, ``budget``, ``payload``, ``no_payment_account`` (``driver``, ``network``), ``unreachable``
    (``address``), ``unauthorised``, ``allocation``, ``start``.
    Kinds of a script (details have ``provider_id`` and ``provider_name``, and ``ready``: whether the activity can go on): ``command_failed`` and
    ``transfer_failed`` (``command``, ``place``, ``exit_code``, ``message``, ``stderr``, ``results``: those so far), ``expired`` (``command``, ``place``,
    ``limit``, ``results``), ``activity_lost`` (``reason``), ``agreement_ended`` (``reason``, ``by``), ``busy``, ``invalid``, ``script``.
    Kinds of a job's end (details: ``cause``, ``failed``: list of :class:`TaskFailure`, ``unfinished``: list of data, ``more_in_source``): ``job``, with the
    causes ``tasks_failed``, ``cancelled``, ``closed``, ``timed_out`` (``timeout``), ``budget_reached`` (``budget``), ``nothing_runs``,
    ``source_failed``, ``broken``.
    Kinds of a run from a database (details: ``exit_code``, ``advice``): ``run``. Others: ``close``, ``budget_not_raised``, ``devnet``, ``image``.
    """

    kind: str
    details: dict[str, Any]

class PayloadSettings(TypedDict, total=False):
    """The machine that the work needs. All keys may be left out, but a virtual machine needs one of the images or a manifest."""

    image: str
    """A tag such as ``golem/blender:latest`` or the SHA-3 hash of an image, to be found in Golem's registry."""
    image_url: str
    """The address of an image that is served elsewhere; with ``image_hash``."""
    image_hash: str
    image_file: Union[str, "PathLike[str]"]
    """A file of this machine, which the program serves to providers."""
    manifest: str
    """The text of a computation manifest, JSON or base64 of it."""
    manifest_signature: bytes
    manifest_certificate: str
    """The certificates as PEM text; together with the signature."""
    manifest_algorithm: str
    """``sha256`` unless given."""
    manifest_node_descriptor: dict[str, Any]
    runtime: str
    """``vm`` unless given."""
    version_at_least: str
    version_below: str
    task_package: str
    """Taken as it is, ``hash:sha3:..:url``; nothing is asked of a registry."""
    min_mem_gib: float
    min_storage_gib: float
    min_cpu_threads: int
    min_cpu_cores: int
    capabilities: list[str]
    properties: dict[str, Any]
    """Properties of the demand, beside those that the payload has itself."""
    constraints: list[str]
    """Each in the form ``(name>=value)`` or any other that the market takes; all must hold."""
    registry: str
    """The address of the registry; ``devnet`` answers for the images that the devnet knows, and is taken with a devnet."""
    https: bool
    """Have providers fetch the image by https."""

class Candidate(TypedDict):
    """An offer that a strategy is to decide about."""

    id: str
    name: str
    per_hour: str
    """GLM an hour at full use, without the start price."""
    start: str
    """GLM for the start."""
    cpu_per_hour: Optional[str]
    """GLM an hour of one CPU thread; ``None`` where the provider doesn't count it."""
    duration_per_hour: Optional[str]
    """GLM an hour of the activity's duration."""
    threads: int
    mem_gib: Optional[float]
    storage_gib: Optional[float]
    properties: dict[str, Any]
    """All properties of the offer, with flat names."""
    tasks_done: int
    failures: int
    """Failures of this provider that count now, those of earlier runs less and less."""
    not_approved: int
    """Agreements that it didn't approve."""
    expected: Optional[float]
    """The engine's own score of it by price, the higher the better: the less expensive, the higher."""

Strategy = Callable[[Candidate], Union[float, str, None]]
"""Gives an offer's score, the higher the better; a text refuses it for this reason, ``None`` refuses it without.

It is called in a thread of the engine, again and again, and must not wait. An exception refuses the offer. NaN does, too."""

EventConsumer = Callable[[str, dict[str, Any]], object]
"""A function that is called on the event loop with each event, in order: its kind, such as ``task_done``, and its fields.

The kinds and fields are those of ``golem-tasks run --json`` (docs/events.md); the field ``at`` is the moment. An exception is logged, and nothing else
comes of it."""

class Settings(TypedDict, total=False):
    """The settings of an executor. What is left out comes from the environment (YAGNA_APPKEY, YAGNA_API_URL, YAGNA_SUBNET, ..) and then
    from the engine's defaults."""

    budget: str
    """GLM in all, or in any hour or day: ``"10"``, ``"10,3/h"``."""
    on_budget: Literal["stop", "pause"]
    timeout: float
    """Seconds that everything may take, from the start on."""
    max_workers: int
    retries: int
    """Retries of each failed task."""
    driver: str
    network: str
    subnet_tag: str
    app_key: str
    api_url: str
    strategy: Strategy
    strategy_alone: bool
    """Take the strategy as it is. Else those that failed us are put back, as the engine's own strategy does."""
    max_start: str
    """GLM; the cap of the start price, 0.5 unless given. An offer above a cap is refused, whatever the strategy says."""
    max_per_hour: str
    """GLM; the cap of an hour at full use, 5 unless given."""
    max_cpu_per_hour: str
    """GLM; the cap of an hour of a CPU thread, alone."""
    max_duration_per_hour: str
    """GLM; the cap of an hour of duration, alone."""
    only_providers: list[str]
    """Node ids or names."""
    except_providers: list[str]
    implicit_start: bool
    """Deploy and start each activity before the worker is called: ``True`` unless given."""
    settle_timeout: float
    """Seconds to wait for the last bills at the end."""
    idle_timeout: float
    """Seconds to wait with no provider found before a job ends with ``nothing_runs``."""
    expected_use: float
    """Seconds that an activity is used, as the engine's own strategy assumes: the longer, the less the price of the start counts."""
    on_line: Callable[[str, str], object]
    """Handles, on the event loop, each line of the engine's own summary for people: its level (``debug``, ``info``, ``warning``, ``error``), its text."""
    min_debit_note_accept_timeout: float
    """Refuse terms by which a debit note must be accepted sooner than in so many seconds."""

@final
class Devnet:
    """An emulated Golem Network in this process: a daemon, and providers that sell and run commands for real in a sandbox."""

    api_url: str
    app_key: str
    driver: str
    network: str
    subnet_tag: str
    @staticmethod
    def start(
        providers: int = 3,
        *,
        seed: Optional[int] = None,
        instant: bool = False,
        scripted: Optional[list[dict[str, Any]]] = None,
        driver: Optional[str] = None,
        network: Optional[str] = None,
        subnet_tag: Optional[str] = None,
        app_key: Optional[str] = None,
        image: Optional[Union[str, "PathLike[str]"]] = None,
    ) -> Awaitable[Devnet]:
        """Starts one; every offer is on its market when the awaitable is done.

        ``instant``: answers at once instead of after the times of a real daemon. ``scripted``: no command is run; each is answered by
        the first of these that fits: ``{"program": "/bin/render", "args": ["--frame"], "stdout": "..", "stderr": "..", "exit": 0, "takes": 1.5,
        "writes": {"/golem/output/a": b".."}}``; ``args`` is a prefix, and all else succeeds with nothing.
        ``image``: a folder with what the payload's image would have; ``FOLDER/golem/run.sh`` becomes ``/golem/run.sh`` on each machine (as
        ``--devnet-image`` of the Rust examples).
        """
    def open_agreements(self) -> int:
        """The number of agreements that are not over."""
    def unpaid_invoices(self) -> int:
        """The number of invoices that nobody has accepted."""
    def provider_names(self) -> list[str]: ...
    def stop(self) -> Awaitable[None]: ...

@final
class Executor:
    """Runs jobs within one budget, one time-out and one payload. Any number of them at once."""

    driver: str
    network: str
    @staticmethod
    def start(
        payload: PayloadSettings,
        settings: Settings,
        devnet: Optional[Devnet] = None,
        consumers: Iterable[tuple[EventConsumer, Optional[list[str]], bool]] = ...,
    ) -> Awaitable[Executor]:
        """Starts one: the money is set aside, the demand is on the market soon after.

        With a devnet, its address, key, driver, network and subnet are taken. ``consumers``: each with the kinds that it wants (``None``: all) and
        whether it wants details (``script_sent``, ``command_finished``, ``script_finished``).
        """
    def add_consumer(self, consumer: EventConsumer, kinds: Optional[list[str]] = None, details: bool = False) -> None:
        """Calls this with each event from now on."""
    def submit(
        self,
        worker: Callable[[Context, Tasks], Coroutine[Any, Any, None]],
        tasks: Union[list[Any], Callable[[Feed], Coroutine[Any, Any, None]]],
        *,
        retries: Optional[int] = None,
        timeout: Optional[float] = None,
        describe: Optional[Callable[[Any], str]] = None,
        failures: bool = False,
    ) -> Submitted:
        """Hands a job in. It begins at once.

        The worker is called once for each activity, as a task of the event loop, and its coroutine is cancelled when the engine gives the activity up.
        What it raises ends the rental with its provider and fails the attempts in hand. ``tasks``: a list of data, or a coroutine function that feeds
        them as they are wanted; what it raises ends the job with ``source_failed``. ``describe``: the name of a task in events, of at most 200 characters;
        else texts, numbers and paths are called what they are. ``failures``: :meth:`Submitted.next` gives tasks that failed for good too, as they fail.
        """
    def budget(self) -> str:
        """GLM in all that may be spent, as it is now."""
    def add_budget(self, amount: str) -> Awaitable[str]:
        """Raises the budget; the new one. ``Error`` of the kind ``budget_not_raised`` where that can't be."""
    def stop(self) -> None:
        """Stops in order, as a first Ctrl+C does. It doesn't wait: :meth:`close` does."""
    def leave(self) -> None:
        """Leaves at once: agreements are left to their providers' time-outs, their bills stay unsettled."""
    def close(self) -> Awaitable[End]:
        """Ends everything: jobs, agreements, bills; for a bounded time. A second call gives the same end.

        Cancelling it doesn't stop the closing. ``Error`` of the kind ``close`` where its run broke or was left.
        """

class End(TypedDict):
    """The end of an executor."""

    why: str
    done: int
    failed: int
    unfinished: int
    cost: str
    """GLM accepted in all."""
    unsettled: int
    """Rentals whose last bill hasn't come."""

@final
class Feed:
    """The way of tasks into a job."""

    def ready(self) -> Awaitable[int]:
        """Waits until tasks are wanted, and gives how many may be put at once, at least one; 0 once nobody wants any more."""
    def put(self, data: list[Any]) -> None:
        """Adds these tasks to the job. More than were asked for are kept, too. The source ends when its coroutine does."""

@final
class Submitted:
    """A job that was handed in. Dropping it without having read it to its end cancels the job."""

    def next(self) -> Awaitable[list[Union[Finished, TaskFailure]]]:
        """Waits for finished tasks and gives all that there are, in the order in which they were done; an empty list once all are.

        Raises ``Error`` of the kind ``job``, once and last, where there are tasks without a result. Cancelling it loses nothing.
        """
    def cancel(self) -> None:
        """Cancels the job: its workers are cancelled; nothing more comes."""

@final
class Finished:
    """A task with its result."""

    id: int
    data: Any
    result: Any
    attempts: int
    running_time: float
    provider_id: str
    provider_name: str

@final
class TaskFailure:
    """A task that failed for good."""

    id: int
    data: Any
    attempts: int
    kind: str
    """``command_failed``, ``transfer_failed``, ``expired``, ``rejected``, ``lost``, ``invalid``, ``own_trouble``, .."""
    message: str
    stderr: str
    exit_code: Optional[int]
    provider_id: Optional[str]
    provider_name: Optional[str]

@final
class Tasks:
    """The tasks for one worker. It is an async iterator of :class:`Task`, too."""

    def next(self) -> Awaitable[Optional[Task]]:
        """Waits for the next task; ``None`` when there will be no more. Cancelling it loses nothing: the next call gets the task."""
    def next_pack(self, room: int) -> Awaitable[list[Task]]:
        """Waits for the next tasks, at most so many; an empty list when there will be no more."""
    def __aiter__(self) -> Tasks: ...
    def __anext__(self) -> Awaitable[Task]: ...

@final
class Task:
    """One attempt of one task. One that is dropped without an answer is tried again."""

    id: int
    """The task's number in the run; events name it so."""
    data: Any
    attempt: int
    """From 1."""
    running_time: float
    """Seconds that it has been in this worker's hands."""
    is_answered: bool
    def accept(self, result: Any = None) -> None:
        """Hands its result in. A second answer raises ``RuntimeError``."""
    def reject(self, reason: str = ..., retry: bool = False) -> None:
        """Its result is no good. With ``retry`` it is tried again while it has attempts left, else it has failed for good."""
    def fail(self, error: BaseException) -> bool:
        """This attempt failed of this exception. Gives whether the worker may go on with its activity; if not, it should raise the exception."""

Command = Union[
    tuple[Literal["run"], str, list[str]],
    tuple[Literal["run"], str, list[str], dict[str, Any]],
    tuple[Literal["shell"], str],
    tuple[Literal["shell"], str, dict[str, Any]],
    tuple[Literal["send_file"], Union[str, "PathLike[str]"], str],
    tuple[Literal["send_bytes"], bytes, str],
    tuple[Literal["download_file"], str, Union[str, "PathLike[str]"]],
    tuple[Literal["download_bytes"], str, int],
    tuple[Literal["fetch"], str, str],
    tuple[Literal["deploy"], dict[str, Any]],
    tuple[Literal["start"], list[str]],
    tuple[Literal["terminate"]],
]
"""A command: its kind, what comes first (program, source), what comes second (arguments, target). ``download_bytes`` has its limit of bytes: more is an error.

Options of a program: ``env`` (dict of texts), ``stdout`` and ``stderr`` (``"all"``, ``"none"``, ``"stream"``, ``("head", n)``, ``("tail", n)``,
``("head_tail", n)``), ``binary`` (keep output byte by byte). Options of deploy: ``net``, ``volumes``, ``env``, .., as the daemon's API has them."""

@final
class Context:
    """A worker's view of its activity."""

    activity_id: str
    agreement_id: str
    provider_id: str
    provider_name: str
    def commit(self, commands: list[Command], timeout: Optional[float] = None) -> Awaitable[list[Result]]:
        """Runs these commands as one batch within so many seconds (10 minutes unless given), and gives the result of each.

        The awaitable is made at once, but one batch runs at a time: a second one fails with the kind ``busy``. A command that can't be read
        raises ``TypeError`` or ``ValueError`` at once. Cancelling it leaves the batch running on the provider.
        """
    def stream(self, commands: list[Command], timeout: Optional[float] = None) -> Stream:
        """Sends like :meth:`commit`, and tells what happens while it happens. It is sent when it is first read."""
    def usage(self) -> Awaitable[dict[str, float]]:
        """The usage of the activity so far, by counter, such as ``golem.usage.duration_sec``."""
    def state(self) -> Awaitable[str]:
        """The activity's state, such as ``Ready``."""
    def cost(self) -> Awaitable[str]:
        """GLM that the activity costs so far, by the provider's own measure."""
    def terms(self) -> Awaitable[dict[str, Any]]:
        """The agreement as the daemon has it."""

@final
class Result:
    """A command that has ended."""

    place: int
    """Its place in the batch, from 0."""
    command: str
    """The command in words."""
    success: bool
    exit_code: Optional[int]
    message: Optional[str]
    stdout: str
    stderr: str
    stdout_bytes: bytes
    stderr_bytes: bytes
    content: Optional[bytes]
    """The bytes that ``download_bytes`` fetched."""
    at: float

@final
class Stream:
    """A batch as it happens."""

    def next(self) -> Awaitable[list[tuple[str, int, Any]]]:
        """Waits for events and gives all that there are, each as (kind, place of its command, rest); an empty list at the end.

        ``("started", 0, None)``, ``("stdout", 0, b"..")``, ``("stderr", 0, b"..")``, ``("progress", 0, {..})``,
        ``("finished", 0, {"exit_code": 0, "message": None})``. Raises what :meth:`Context.commit` would raise.
        """
    def finish(self) -> Awaitable[list[Result]]:
        """Waits for the end of the batch and gives its results."""

def resolve_payload(payload: PayloadSettings, devnet: bool = False) -> Awaitable[dict[str, Any]]:
    """The demand for this payload: ``{"properties": {..}, "constraints": "(&..)"}``. ``Error`` of the kind ``payload``."""

# ---- durable runs: jobs whose tasks and results are in a database ----

class JobSettings(TypedDict, total=False):
    """A job for a durable run. Tasks and results are JSON: None, bool, int, float, str, list, tuple, dict with str keys; anything else
    raises ``TypeError`` with a sentence that says which value isn't.
    """

    name: str
    """The name of the job, kept with its runs."""
    payload: Union[PayloadSettings, Callable[[], PayloadSettings]]
    tasks: Callable[[str], Iterable[Any]]
    """The tasks, from the first one on; called with the run's id. Read in a thread of the engine, as they are wanted; it may be endless."""
    run: Callable[[Context, JobTask], Coroutine[Any, Any, Any]]
    """Runs one task on the event loop and returns its result. An exception fails the attempt; an exception with a true attribute ``ends_rental``
    ends the rental, too, and one with a true attribute ``for_good`` fails the task for good."""
    set_up: Callable[[Context], Coroutine[Any, Any, None]]
    """Prepares each activity."""
    key: Callable[[Any], Optional[str]]
    """The key of a task: of two tasks with one key only the first is done."""
    note_done: Callable[[int, Any], None]
    """Receives the number and the data of each task that is done when a run is resumed, before its tasks are read on."""
    may_change: bool
    """True if ``tasks`` may give other tasks when a run is resumed, such as only those that are left: what the run has read is left out of them."""
    prints_itself: bool
    """True if no line is to be printed for a result that is ``None``."""
    results: int
    """Ends the run when so many results are there."""
    tasks_total: int
    """The number of tasks, where it is known."""
    describe: dict[str, Any]
    """The description that is kept with a run, beside its tasks. A run whose description has changed isn't resumed unless ``changed_job`` says so."""
    budget: str
    workers: int
    retries: int
    task_timeout: float
    max_price: str
    """GLM that a result may cost on average on one provider."""

@final
class JobTask:
    """One attempt of one task of a durable run."""

    index: int
    """The task's number in the run, from 0."""
    data: Any
    attempt: int
    time_limit: float
    def add(self, data: Any) -> None:
        """Adds a task to the run; it joins together with this one's result."""
    def end_run(self) -> None:
        """Ends the run with this one's result."""

class RunnerSettings(TypedDict, total=False):
    dsn: str
    run_id: str
    changed_job: bool
    retry_failed: bool
    only: list[str]
    workers: int
    budget: str
    on_budget: Literal["stop", "pause"]
    max_price: str
    price_grace: float
    results: int
    retries: int
    task_timeout: float
    settle_timeout: float
    devnet: int
    """The number of providers of a devnet in this process."""
    api_url: str
    app_key: str
    subnet: str
    driver: str
    network: str
    show: Literal["text", "json", "quiet-json", "quiet", "silent"]
    """``silent`` unless given."""

class RunSummary(TypedDict):
    """The summary of a run, as ``golem-tasks summary --json`` prints it; see docs/json-output.md."""

@final
class Runner:
    """Runs a job from within a program."""

    def __new__(cls, job: JobSettings, settings: RunnerSettings) -> Runner: ...
    def run(self) -> Awaitable[dict[str, Any]]:
        """Runs until it ends or is stopped, and gives its summary. ``Error`` of the kind ``run`` where it couldn't begin or broke off.

        Cancelling it stops the run in order; it may be awaited again then, to wait for its end.
        """
    def stop(self) -> None:
        """Stops the run in order, as a first Ctrl+C does."""

def main(argv: list[str]) -> int:
    """The program ``golem-tasks``; ``argv[0]`` is its name. Blocks; hears Ctrl+C by itself. The exit code."""

def gftp(argv: list[str]) -> int:
    """The program ``gftp``. Blocks. The exit code."""

def job_main(job: JobSettings, argv: list[str], run_id: Optional[str] = None) -> Awaitable[int]:
    """The program that runs this job: all commands of ``golem-tasks``, under the name ``argv[0]``. The exit code.

    It works in threads of its own, and calls the job on the running loop. It hears Ctrl+C by itself: the caller must not die of it.
    """

def program(argv: list[str], find: Callable[[str], Optional[JobSettings]]) -> Awaitable[int]:
    """The program ``golem-tasks`` as in :func:`main`, for which a job may also be a name: where the path of a job file would stand, ``find`` is called
    with it, on the running loop, and gives the job, or ``None`` where it is the path of a job file. What ``find`` raises is told, and nothing is begun.

    It works in threads of its own, and calls the job on the running loop. It hears Ctrl+C by itself: the caller must not die of it.
    """
