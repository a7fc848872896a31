"""The driver of one call of a worker: its generator yields scripts, and is told of their results and their failures."""

from __future__ import annotations

import asyncio
import inspect
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, AsyncGenerator, AsyncIterator, Awaitable, Callable, Dict, List, Optional, Tuple, Type, TypeVar, Union

from golem_tasks import _native
from golem_tasks.yapapi import events
from golem_tasks.yapapi.ctx import ExecOptions, WorkContext
from golem_tasks.yapapi.errors import of_script
from golem_tasks.yapapi.rest.activity import Activity, BatchError
from golem_tasks.yapapi.rest.market import Agreement
from golem_tasks.yapapi.script import Script
from golem_tasks.yapapi.script.command import Command, DownloadBytes, DownloadFile

if TYPE_CHECKING:
    from golem_tasks.yapapi._task import Task
    from golem_tasks.yapapi.engine import Job

EventType = TypeVar("EventType", bound=events.Event)
Worker = Callable[[WorkContext, "AsyncIterator[Task[Any, Any]]"], AsyncGenerator[Any, Any]]

logger = logging.getLogger("yapapi.executor")


class ClosedTasks(Exception):
    """The worker took no more tasks by ``tasks.aclose()``, so its agreement ends."""

    WORDS = "the program takes no more tasks of this provider"

    def __init__(self) -> None:
        super().__init__(self.WORDS)


class NotAWorker(TypeError):
    """The object given as a worker isn't an async generator."""


def check(worker: Any) -> None:
    """Raise :class:`TypeError` if ``worker`` can't be a worker."""
    name = getattr(worker, "__name__", repr(worker))
    if not callable(worker):
        raise NotAWorker(f"The worker is of the type `{type(worker).__name__}`. Give an `async def` that takes a context and tasks and yields scripts.")
    if inspect.iscoroutinefunction(worker):
        raise NotAWorker(f"The worker `{name}` never yields. Yield each script: `yield script` or `yield ctx.commit()`.")
    if inspect.isgeneratorfunction(worker):
        raise NotAWorker(f"The worker `{name}` is a plain generator. Define it with `async def`.")


class TaskIterator:
    """The tasks that a worker gets, one after the other."""

    def __init__(self, native: _native.Tasks, ctx: WorkContext) -> None:
        self._native = native
        self._ctx = ctx
        #: Tasks that aren't answered, each with the number of scripts that had ended when the worker got it.
        self._open: List[Tuple["Task[Any, Any]", int]] = []
        self._closed = False
        #: The number of scripts of the worker that have ended.
        self.scripts_ended = 0
        #: True while a script runs that the worker doesn't wait for.
        self.is_ahead = False

    def __aiter__(self) -> "TaskIterator":
        return self

    async def __anext__(self) -> "Task[Any, Any]":
        self._forget_passed()
        attempt = None if self._closed else await self._native.next()
        if attempt is None:
            raise StopAsyncIteration
        task: "Task[Any, Any]" = attempt.data
        self._open.append((task, self.scripts_ended))
        task._begun(attempt, self._ctx)
        return task

    async def aclose(self) -> None:
        """Take no more tasks: the agreement ends when the worker does, and others do what is left."""
        self._closed = True

    @property
    def is_closed(self) -> bool:
        """True once the worker wants no more tasks."""
        return self._closed

    def _forget_passed(self) -> None:
        """Let go of tasks for which a script has ended, and which the worker passes without an answer."""
        waiting = [(task, mark) for task, mark in self._open if task._native is not None]
        passed = [] if self.is_ahead else [task for task, mark in waiting if mark < self.scripts_ended]
        self._open = [(task, mark) for task, mark in waiting if task not in passed]
        for task in passed:
            logger.warning("The worker asked for another task without an answer to %r, which is tried again.", task)
            task._dropped("The worker asked for another task without an answer to this one")

    def forget(self, why: Union[str, Exception, None] = None) -> None:
        """Let go of the tasks that weren't answered. ``why`` fails them, in words or as the exception that ended the worker."""
        waiting, self._open = self._open, []
        for task, _ in waiting:
            task._dropped(why)


class Work:
    """One call of a worker."""

    def __init__(
        self,
        job: "Job",
        worker: Worker,
        emit: Callable[[events.Event], None],
        stream: bool,
        time_left: Callable[[], float],
        begin: Callable[["Job", Agreement, Activity], Awaitable[None]],
        native: _native.Context,
        tasks: _native.Tasks,
    ) -> None:
        self._job = job
        self._worker = worker
        self._emit = emit
        self._stream = stream
        self._time_left = time_left
        self._native = native
        self._agreement = Agreement(native.provider_id, native.provider_name, native.agreement_id)
        self._activity = Activity(native.activity_id)
        self._ctx = WorkContext(native, self)
        self._tasks = TaskIterator(tasks, self._ctx)
        self._later: Optional[_Later] = None
        self._begin = begin

    def emit(self, event_class: Type[EventType], ctx: WorkContext, **kwargs: Any) -> EventType:
        """Tell the consumers of an event of this activity."""
        about: Dict[str, Any] = {"job": self._job, "agreement": self._agreement, "activity": self._activity}
        if issubclass(event_class, events.Event) and event_class.__init__ is events.Event.__init__:
            event = event_class(**about, **kwargs)
        else:  # A class of the program's, with a constructor for its own fields.
            event = event_class(**kwargs)
            fresh = events.Event(**about).__dict__
            event.__dict__.update({name: value for name, value in fresh.items() if name not in event.__dict__})
        self._emit(event)
        return event

    async def run(self) -> None:
        """Drive the worker to its end. What it raises fails the attempts in hand and ends the rental."""
        generator = self._worker(self._ctx, self._tasks)
        if not hasattr(generator, "asend"):
            if inspect.iscoroutine(generator):
                generator.close()
            raise NotAWorker(f"The worker returned an object of the type `{type(generator).__name__}` instead of an async generator. Yield scripts in it.")
        try:
            await self._begin(self._job, self._agreement, self._activity)
            await self._drive(generator)
            self._tasks.forget("The worker ended without an answer to this task")
            if self._tasks.is_closed:
                raise ClosedTasks
        except Exception as error:
            if not isinstance(error, (BatchError, ClosedTasks, NotAWorker)):
                logger.warning("The worker failed on provider '%s'.", self._native.provider_name, exc_info=True)
            self._tasks.forget(error)
            raise
        finally:
            try:
                if self._later is not None:
                    self._later.running.cancel()
                await generator.aclose()
            finally:
                self._tasks.forget()

    async def _drive(self, generator: AsyncGenerator[Any, Any]) -> None:
        answer: Any = None
        failure: Optional[BaseException] = None
        while True:
            try:
                yielded = await (generator.athrow(failure) if failure is not None else generator.asend(answer))
            except StopAsyncIteration:
                await self._last_script()
                return
            answer, failure = None, None
            script, wait, timeout = _unpacked(yielded)
            try:
                await self._last_script()
                self._tasks.is_ahead = not wait
                if wait:
                    answer = _Ready(await self._run_script(script, timeout))
                else:
                    self._later = answer = _Later(asyncio.ensure_future(self._run_script(script, timeout)))
            except Exception as error:  # The worker decides what to make of it.
                script._fail(error)
                failure = error

    async def _last_script(self) -> None:
        """Wait for a script that the worker didn't wait for. **Raises** its failure if the worker hasn't asked for it."""
        last, self._later = self._later, None
        if last is not None:
            await asyncio.wait([last.running])
            error = None if last.running.cancelled() else last.running.exception()
            if error is not None and not last.was_awaited:
                raise error

    async def _run_script(self, script: Script, timeout: Optional[timedelta]) -> List[events.CommandExecuted]:
        if script._ctx is not self._ctx:
            raise RuntimeError("The worker yielded a script of another context. Make it with this worker's `ctx.new_script()`.")
        if script._sent:
            raise RuntimeError("The worker yielded a script a second time. Make another one with `ctx.new_script()`.")
        script._sent = True
        try:
            results = await self._sent(script, timeout)
        except BaseException as error:
            script._fail(error)
            raise
        finally:
            self._tasks.scripts_ended += 1
        script._results = results
        self._tell(events.ScriptFinished, script)
        return results

    async def _sent(self, script: Script, timeout: Optional[timedelta]) -> List[events.CommandExecuted]:
        commands = script._commands
        for command in commands:
            await command.before()
        if not commands:
            return []
        wire = [command._native() for command in commands]
        limit = self._time_left() if timeout is None else timeout.total_seconds()
        self._tell(events.ScriptSent, script)
        self._tell(events.GettingResults, script)
        for command in commands:
            if isinstance(command, (DownloadFile, DownloadBytes)):
                self._tell(events.DownloadStarted, script, command=command)
        try:
            if self._stream:
                outcome = await self._streamed(script, wire, limit)
            else:
                outcome = await self._native.commit(wire, limit)
        except _native.Error as error:
            told = self._results(script, error.details.get("results") or [])
            self._tell_of_failure(script, error, len(told))
            raise of_script(error) from error
        results = self._results(script, outcome)
        for command, result in zip(commands, outcome):
            await command._finish(result.content)
            if isinstance(command, (DownloadFile, DownloadBytes)):
                self._tell(events.DownloadFinished, script, command=command)
        return results

    async def _streamed(self, script: Script, wire: List[Any], limit: float) -> List[_native.Result]:
        stream = self._native.stream(wire, limit)
        while True:
            news = await stream.next()
            if not news:
                return await stream.finish()
            for kind, place, rest in news:
                command = script._commands[place]
                if kind == "started":
                    self._tell(events.CommandStarted, script, command=command)
                elif kind in ("stdout", "stderr"):
                    text = rest.decode(errors="replace") if isinstance(rest, bytes) else str(rest)
                    which = events.CommandStdOut if kind == "stdout" else events.CommandStdErr
                    self._tell(which, script, command=command, output=text)
                elif kind == "progress":
                    self._tell(events.CommandProgress, script, command=command, **_progress(rest))

    def _results(self, script: Script, outcome: List[_native.Result]) -> List[events.CommandExecuted]:
        """Give the commands their results and tell of them."""
        results = []
        for command, awaitable, result in zip(script._commands, script._awaitables, outcome):
            event = self._tell(
                events.CommandExecuted,
                script,
                command=command,
                success=result.success,
                message=result.message,
                stdout=result.stdout,
                stderr=result.stderr,
                exit_code=result.exit_code,
                stdout_bytes=result.stdout_bytes,
            )
            if result.success:
                awaitable._set(event)
            results.append(event)
        return results

    def _tell_of_failure(self, script: Script, error: _native.Error, told: int) -> None:
        """Tell of the command that failed, if it was one and isn't among the first ``told``."""
        place = error.details.get("place")
        if isinstance(place, int) and told <= place < len(script._commands):
            self._tell(
                events.CommandExecuted,
                script,
                command=script._commands[place],
                success=False,
                message=error.details.get("message") or str(error),
                stdout=None,
                stderr=error.details.get("stderr"),
                exit_code=error.details.get("exit_code"),
            )

    def _tell(self, kind: Type[EventType], script: Script, **kwargs: Any) -> EventType:
        return self.emit(kind, self._ctx, script=script, **kwargs)


class _Ready:
    """Results that are there already, for a worker that awaits what ``yield`` gave it."""

    def __init__(self, results: List[events.CommandExecuted]) -> None:
        self._results = results

    def __await__(self) -> Any:
        return self._results
        yield  # Makes this a generator, as awaiting needs.


class _Later:
    """Results that come while the worker goes on."""

    def __init__(self, running: "asyncio.Task[List[events.CommandExecuted]]") -> None:
        self.running = running
        self.was_awaited = False

    def __await__(self) -> Any:
        self.was_awaited = True
        return asyncio.shield(self.running).__await__()

    def done(self) -> bool:
        """True once the script has ended."""
        return self.running.done()


def _unpacked(yielded: Any) -> Tuple[Script, bool, Optional[timedelta]]:
    options = ExecOptions()
    if isinstance(yielded, tuple) and len(yielded) == 2 and isinstance(yielded[1], ExecOptions):
        yielded, options = yielded
    if isinstance(yielded, Command):
        raise NotAWorker("The worker yielded a command. Add it to a script with `script.add(..)` and yield the script.")
    if not isinstance(yielded, Script):
        raise NotAWorker(f"The worker yielded an object of the type `{type(yielded).__name__}`. Yield a script of `ctx.new_script()`, or `ctx.commit()`.")
    timeout = yielded.timeout if yielded.timeout is not None else options.batch_timeout
    return yielded, yielded.wait_for_results and options.wait_for_results, timeout


def _progress(rest: Any) -> Dict[str, Any]:
    fields: Dict[str, Any] = {"step": None, "message": None, "progress": (0, None), "unit": None}
    if isinstance(rest, dict):
        fields.update({name: rest[name] for name in fields if rest.get(name) is not None})
    return fields
