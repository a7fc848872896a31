"""One call of ``execute_tasks``: tasks in, finished ones out."""

from __future__ import annotations

import asyncio
import itertools
import logging
from datetime import datetime, timedelta, timezone
from typing import Any, AsyncIterable, AsyncIterator, Callable, Dict, Iterable, List, Optional, Set

from golem_tasks import _native
from golem_tasks.yapapi import events
from golem_tasks.yapapi._market import Market
from golem_tasks.yapapi._task import Task, TaskStatus
from golem_tasks.yapapi._work import NotAWorker, Work, Worker, check
from golem_tasks.yapapi.engine import Job
from golem_tasks.yapapi.errors import UnfinishedTasks, of_job
from golem_tasks.yapapi.payload import Payload

logger = logging.getLogger("yapapi.executor")

#: Causes of a job's end after which its executor may take no other.
_ENDS_ALL = ("budget_reached", "nothing_runs", "closed", "broken")

_ids: Set[str] = set()
_numbers = itertools.count(1)


def next_job_id(wanted: Optional[str]) -> str:
    """Return the id that was asked for, or the next free number. **Raises** :class:`ValueError` for one that was used already."""
    if wanted is None:
        wanted = next(number for number in map(str, _numbers) if number not in _ids)
    elif wanted in _ids:
        raise ValueError(f"The job id `{wanted}` has been used already in this process. Choose another one.")
    _ids.add(wanted)
    return wanted


def check_call(worker: Any, data: Any, payload: Any, max_workers: Any, timeout: Any) -> None:
    """Raise :class:`TypeError` or :class:`ValueError` for arguments that can't work."""
    check(worker)
    if not isinstance(data, (Iterable, AsyncIterable)):
        raise TypeError(f"The tasks are of the type `{type(data).__name__}`. Give a list, or another iterable or async iterable, of `Task`.")
    if isinstance(data, (list, tuple)):
        for task in data:
            check_task(task)
    if not isinstance(payload, Payload):
        hint = " Await it: `await vm.repo(..)`." if hasattr(payload, "__await__") else " Use `await vm.repo(..)`."
        raise TypeError(f"The payload is of the type `{type(payload).__name__}`.{hint}")
    if isinstance(max_workers, bool) or not isinstance(max_workers, int) or max_workers < 1:
        raise ValueError(f"`max_workers` is {max_workers!r}. Give a whole number above zero.")
    if not isinstance(timeout, timedelta) or timeout <= timedelta(0):
        raise ValueError(f"`timeout` is {timeout!r}. Give a `timedelta` above zero.")


def check_task(task: Any) -> None:
    """Raise :class:`TypeError` if this isn't a task, :class:`ValueError` if it has been handed in before."""
    if not isinstance(task, Task):
        raise TypeError(f"Among the tasks is an object of the type `{type(task).__name__}`. Wrap each unit of work: `Task(data=..)`.")
    if task._submitted:
        raise ValueError(f"{task!r} has been handed in before. Make another `Task` of its data.")


class Call:
    """One call of ``execute_tasks``, at work in a market."""

    def __init__(
        self,
        market: Market,
        worker: Worker,
        data: Any,
        payload: Payload,
        timeout: timedelta,
        job_id: str,
        emit: Callable[[events.Event], None],
        stream: bool,
    ) -> None:
        self._market: Optional[Market] = market
        self._worker = worker
        self._data = data
        self._timeout = timeout.total_seconds()
        self._emit = emit
        self._stream = stream
        self._job = Job(job_id, payload, datetime.now(timezone.utc) + timeout)
        self._deadline = asyncio.get_running_loop().time() + self._timeout
        self._begin = market.translator.begin
        self._submitted: Optional[_native.Submitted] = None
        self._failures: Dict[str, str] = {}
        #: What ends the job whatever its tasks do: a worker that is none, a source that fails.
        self._fatal: Optional[BaseException] = None
        self._stopped = False

    async def tasks(self) -> AsyncIterator["Task[Any, Any]"]:
        """Yield finished tasks; raise what they couldn't be finished for."""
        assert self._market is not None
        self._market.translator.jobs.append(self._job)
        self._emit(events.JobStarted(job=self._job))
        error: Optional[BaseException] = None
        try:
            self._submitted = self._market.native.submit(self._work, self._source(), timeout=self._timeout, describe=_description, failures=True)
            while True:
                news = await self._next(self._submitted)
                if not news:
                    break
                for task in news:
                    yield task
        except BaseException as failure:
            error = failure
            raise
        finally:
            self._over(None if isinstance(error, GeneratorExit) else error)

    def _over(self, error: Optional[BaseException]) -> None:
        """Tell that the job is over, once."""
        if self._market is not None:
            self._market.at_work -= 1
            self._market = None
            self._job.error = error
            fields: Dict[str, Any] = {} if error is None else {"exc_info": events._error(error)}
            self._emit(events.JobFinished(job=self._job, **fields))

    def cancel(self) -> None:
        """Give the job up if it isn't over. A second time changes nothing."""
        self._over(None)
        if self._submitted is not None:
            self._submitted.cancel()

    async def _next(self, submitted: _native.Submitted) -> List["Task[Any, Any]"]:
        """Return tasks that have been finished, none at the end."""
        while True:
            try:
                outcomes = await submitted.next()
            except _native.Error as error:
                self._judge(error)
                return []
            if self._fatal is not None:
                raise self._fatal
            if self._stopped and not outcomes:
                raise self._stop_error()
            finished = [self._finished(outcome) for outcome in outcomes if isinstance(outcome, _native.Finished)]
            for outcome in outcomes:
                if isinstance(outcome, _native.TaskFailure):
                    self._failed(outcome)
            if finished or not outcomes:
                return finished

    def stop(self) -> None:
        """Give the job up because its ``Golem`` stops: whoever reads it is told."""
        self._stopped = True
        if self._submitted is not None:
            self._submitted.cancel()

    def _stop_error(self) -> UnfinishedTasks:
        open_states = (TaskStatus.WAITING, TaskStatus.RUNNING)
        known = self._data if isinstance(self._data, (list, tuple)) else []
        unfinished = [task for task in known if task.status in open_states]
        return UnfinishedTasks("The Golem was stopped before all tasks were finished.", "closed", [], unfinished, self._failures)

    def _judge(self, error: _native.Error) -> None:
        """Raise what a job's end amounts to; nothing if the program itself gave up whatever has no result."""
        if self._fatal is not None:
            raise self._fatal
        if self._stopped:
            raise self._stop_error() from error
        failure = of_job(error, self._failures)
        if failure.cause == "tasks_failed" and not failure.failed and not failure.unfinished:
            logger.warning("%d task(s) of job %s were rejected and have no result.", len(self._failures), self._job.id)
            return
        if self._market is not None and failure.cause in _ENDS_ALL:
            self._market.is_over = True
        raise failure from error

    def _finished(self, outcome: _native.Finished) -> "Task[Any, Any]":
        task: "Task[Any, Any]" = outcome.data
        task._took = timedelta(seconds=outcome.running_time)
        return task

    def _failed(self, outcome: _native.TaskFailure) -> None:
        task: "Task[Any, Any]" = outcome.data
        self._failures[task.id] = outcome.message
        if not task._given_up:
            logger.warning("%r failed for good after %d attempt(s): %s", task, outcome.attempts, outcome.message)

    async def _work(self, native: _native.Context, tasks: _native.Tasks) -> None:
        try:
            await Work(self._job, self._worker, self._emit, self._stream, self._time_left, self._begin, native, tasks).run()
        except NotAWorker as error:
            self._fail(error)
            raise

    def _fail(self, error: BaseException) -> None:
        self._fatal = error
        if self._submitted is not None:
            self._submitted.cancel()

    def _time_left(self) -> float:
        return max(self._deadline - asyncio.get_running_loop().time(), 1.0)

    def _source(self) -> Any:
        if isinstance(self._data, (list, tuple)):
            for task in self._data:
                check_task(task)
                task._submitted = True
            return list(self._data)
        return self._feed

    async def _feed(self, feed: _native.Feed) -> None:
        """Hand tasks in as they are wanted."""
        try:
            wanted = 0
            async for task in _as_async(self._data):
                check_task(task)
                task._submitted = True
                if wanted == 0:
                    wanted = await feed.ready()
                    if wanted == 0:
                        return
                feed.put([task])
                wanted -= 1
        except Exception as error:
            self._fail(error)
            raise


async def _as_async(data: Any) -> AsyncIterator[Any]:
    if isinstance(data, AsyncIterable):
        async for item in data:
            yield item
    else:
        for item in data:
            yield item


def _description(task: "Task[Any, Any]") -> str:
    return f"{task.data!r}"[:200]
