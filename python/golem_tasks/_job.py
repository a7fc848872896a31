"""Durable jobs: piles of work whose tasks and results are kept in a database, so that a run outlives its process."""

from __future__ import annotations

import asyncio
import inspect
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Optional, Union

from . import _native
from ._context import Context, Time, seconds
from ._errors import translated
from ._golem import Image, Money, _count
from ._money import amount
from ._payload import settings_of

Json = Union[None, bool, int, float, str, "list[Any]", "tuple[Any, ...]", "dict[str, Any]"]
"""Values that a database can keep: tasks and results are of this type."""


class Task:
    """One attempt of one task of a job."""

    def __init__(self, native: _native.JobTask) -> None:
        self._native = native

    @property
    def index(self) -> int:
        """The task's number in the run, from 0."""
        return self._native.index

    @property
    def data(self) -> Any:
        """The task, as :meth:`Job.tasks` gave it; tuples have become lists."""
        return self._native.data

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self._native.attempt

    def add(self, data: Json) -> None:
        """Adds a task to the run, such as one that the result gives rise to. It joins the run together with the result of this one, once."""
        self._native.add(data)

    def end_run(self) -> None:
        """Ends the run with the result of this task: it is what was looked for."""
        self._native.end_run()

    def __repr__(self) -> str:
        return f"<Task {self.index}: {self.data!r}>"


class Job:
    """A pile of work for durable runs. A subclass says which machine, which tasks, and what is done for each::

        class Squares(gt.Job):
            image = "golem/alpine:latest"

            def tasks(self):
                return range(100)

            async def run(self, ctx, task):
                return int((await ctx.sh(f"echo $(( {task.data} * {task.data} ))")).stdout)

        if __name__ == "__main__":
            sys.exit(Squares().main())

    :meth:`main` makes it a program with all commands of ``golem-tasks``; :meth:`start` runs it from within another one. Tasks and results are written down
    before anything follows from them: the same command with the same ``--run-id`` resumes a run after ``kill -9``, and what is done isn't done again.
    Tasks and results are JSON; anything else fails with a sentence that says which value isn't.
    """

    image: ClassVar[Optional[Image]] = None
    """The machine: an image, or all that is wanted of it."""
    budget: ClassVar[Optional[Money]] = None
    """GLM that a run may cost, 1 unless given; ``--budget`` wins."""
    workers: ClassVar[Optional[int]] = None
    """Providers that work at the same time, 5 unless given; ``--workers`` wins."""
    retries: ClassVar[Optional[int]] = None
    """Retries of each task, 3 unless given; ``--retries`` wins."""
    task_timeout: ClassVar[Optional[Time]] = None
    """The longest time of one attempt, 10 minutes unless given; ``--task-timeout`` wins."""
    results: ClassVar[Optional[int]] = None
    """The number of results that are wanted: all unless given; ``--results`` wins."""

    def tasks(self) -> Iterable[Json]:
        """The tasks, from the first one on, and the same ones each time; any number of them. They are read in a thread of the engine, as they are
        wanted, and mustn't wait for others."""
        raise NotImplementedError(f"{type(self).__name__} has no tasks. Define `def tasks(self)` that returns them.")

    async def run(self, ctx: Context, task: Task) -> Json:
        """Runs one task, and returns its result. An exception fails this attempt; the task is tried again, elsewhere where that can be."""
        raise NotImplementedError(f"{type(self).__name__} does nothing. Define `async def run(self, ctx, task)` that returns a result.")

    async def set_up(self, ctx: Context) -> None:
        """Prepares each activity before its first task. What it raises ends the rental."""

    def key(self, task: Any) -> Optional[str]:
        """The key of a task: of two tasks with one key only the first is done. ``None``, unless overridden: each one is another."""
        return None

    def describe(self) -> Mapping[str, Json]:
        """The description that is kept with a run beside its tasks, never secrets. A run whose job is described otherwise isn't resumed by mistake."""
        return {"job": type(self).__name__}

    def main(self, argv: Optional[Sequence[str]] = None) -> int:
        """The program of this job: ``run``, ``check``, ``show``, ``summary``, ``results``, ``resume`` and all other commands of ``golem-tasks``. It reads
        ``argv`` (``sys.argv`` unless given), blocks, and gives the exit code."""
        words = list(sys.argv if argv is None else argv)
        settings = self._of_engine()

        async def work() -> int:
            return await _native.job_main(settings, words)

        # The engine hears Ctrl+C itself.
        before = signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            return asyncio.run(work())
        finally:
            signal.signal(signal.SIGINT, before)

    async def start(
        self,
        *,
        run_id: Optional[str] = None,
        dsn: Optional[str] = None,
        devnet: Union[bool, int] = False,
        budget: Optional[Money] = None,
        workers: Optional[int] = None,
        retries: Optional[int] = None,
        results: Optional[int] = None,
        only: Optional[Sequence[str]] = None,
        retry_failed: bool = False,
        changed_job: bool = False,
        show: Optional[str] = None,
        **daemon: str,
    ) -> dict[str, Any]:
        """Runs the job until it ends, and gives the summary of its run, as ``golem-tasks summary --json`` has it.

        The settings are the flags of ``golem-tasks run``; what isn't given comes from the environment, then from the job. ``daemon``: ``api_url``, ``app_key``,
        ``subnet``, ``driver``, ``network``. ``show``: ``"text"`` or ``"json"`` to show the run as the command line does. Cancelling it stops the run in order.
        Raises :class:`RunError` where it couldn't begin or broke off.
        """
        chosen: dict[str, Any] = {
            "run_id": run_id,
            "dsn": dsn,
            "devnet": (3 if devnet is True else devnet) or None,
            "budget": None if budget is None else amount(budget, "budget"),
            "workers": _count(workers, "workers", 1),
            "retries": _count(retries, "retries", 0),
            "results": _count(results, "results", 1),
            "only": None if only is None else list(only),
            "retry_failed": retry_failed,
            "changed_job": changed_job,
            "show": show,
            **daemon,
        }
        settings: Any = {name: value for name, value in chosen.items() if value is not None}
        try:
            runner = _native.Runner(self._of_engine(), settings)
            try:
                return await runner.run()
            except asyncio.CancelledError:
                # What is rented is to be ended before anybody leaves.
                await asyncio.shield(asyncio.ensure_future(_ended(runner)))
                raise
        except _native.Error as error:
            raise translated(error) from error

    def _of_engine(self) -> _native.JobSettings:
        if self.image is None:
            raise TypeError(f"{type(self).__name__} names no machine. Say image = \"golem/alpine:latest\" in its class, or which one the work needs.")
        if not inspect.iscoroutinefunction(self.run):
            raise TypeError(f"{type(self).__name__}.run is not a coroutine function. Write it as `async def run(self, ctx, task)`.")
        chosen: dict[str, Any] = {
            "name": type(self).__name__,
            "payload": settings_of(self.image),
            "tasks": lambda run_id: self.tasks(),
            "run": self._run,
            "set_up": lambda ctx: self.set_up(Context(ctx)),
            "key": self.key,
            "describe": dict(self.describe()),
            "budget": None if self.budget is None else amount(self.budget, "budget"),
            "workers": _count(self.workers, "workers", 1),
            "retries": _count(self.retries, "retries", 0),
            "task_timeout": seconds(self.task_timeout, "task_timeout"),
            "results": _count(self.results, "results", 1),
        }
        settings: Any = {name: value for name, value in chosen.items() if value is not None}
        of_engine: _native.JobSettings = settings
        return of_engine

    async def _run(self, ctx: _native.Context, task: _native.JobTask) -> Any:
        return await self.run(Context(ctx), Task(task))


async def _ended(runner: _native.Runner) -> None:
    try:
        await runner.run()
    except (_native.Error, asyncio.CancelledError):
        # Whoever cancelled it doesn't ask how it ended.
        pass
