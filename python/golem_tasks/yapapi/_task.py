"""Tasks: units of work with their data and their result."""

from __future__ import annotations

import enum
import itertools
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Generic, Iterator, Optional, Type, TypeVar, Union

if TYPE_CHECKING:
    from golem_tasks import _native
    from golem_tasks.yapapi.ctx import WorkContext
    from golem_tasks.yapapi.events import TaskEvent

__all__ = ["Task", "TaskData", "TaskResult", "TaskStatus"]

TaskData = TypeVar("TaskData")
TaskResult = TypeVar("TaskResult")


class TaskStatus(enum.Enum):
    """The state of a task."""

    WAITING = enum.auto()
    RUNNING = enum.auto()
    ACCEPTED = enum.auto()
    REJECTED = enum.auto()


class Task(Generic[TaskData, TaskResult]):
    """A unit of work. A worker answers each task once, by :meth:`accept_result` or :meth:`reject_result`.

    A task that its worker doesn't answer is tried again.
    """

    #: Counts the tasks of this process.
    ids: ClassVar[Iterator[int]] = itertools.count(1)

    def __init__(self, data: TaskData) -> None:
        self.id: str = str(next(Task.ids))
        self._data = data
        self._result: Optional[TaskResult] = None
        self._status = TaskStatus.WAITING
        self._native: Optional["_native.Task"] = None
        self._ctx: Optional["WorkContext"] = None
        self._took: Optional[timedelta] = None
        self._submitted = False
        #: True once the program said that the task shall not be tried again.
        self._given_up = False

    def __repr__(self) -> str:
        return f"Task(id={self.id}, data={self._data!r})"

    @property
    def data(self) -> TaskData:
        """The data that the task was made with."""
        return self._data

    @property
    def result(self) -> Optional[TaskResult]:
        """The accepted result; ``None`` before there is one."""
        return self._result

    @property
    def status(self) -> TaskStatus:
        """The state of the task."""
        return self._status

    @property
    def running_time(self) -> Optional[timedelta]:
        """The time that the present attempt has taken so far, or the last one took; ``None`` before the first."""
        if self._native is not None:
            return timedelta(seconds=self._native.running_time)
        return self._took

    def accept_result(self, result: Optional[TaskResult] = None) -> None:
        """Hand the result of the task in.

        **Raises** :class:`RuntimeError` if the task has been answered already or no worker has it.
        """
        native = self._answered("accept_result")
        native.accept(result)
        self._result = result
        self._status = TaskStatus.ACCEPTED
        self._tell(lambda events: events.TaskAccepted)

    def reject_result(self, reason: Optional[str] = None, retry: bool = False) -> None:
        """Say that what came is no good.

        With ``retry`` the task is tried again, elsewhere where that can be, while it has attempts left. Without, it has failed for good
        and is never yielded.

        **Raises** :class:`RuntimeError` if the task has been answered already or no worker has it.
        """
        native = self._answered("reject_result")
        native.reject(reason or "", retry)
        self._given_up = not retry
        self._status = TaskStatus.REJECTED
        self._tell(lambda events: events.TaskRejected, reason=reason)

    def reject_task(self, reason: Optional[str] = None, retry: bool = False) -> None:
        """Do as :meth:`reject_result`, under the name that old comments have for it."""
        self.reject_result(reason, retry)

    def emit(self, event_class: Type["TaskEvent"], **kwargs: Any) -> "TaskEvent":
        """Tell the event consumers of an event of this task.

        **Raises** :class:`RuntimeError` while no worker has the task.
        """
        if self._ctx is None:
            raise RuntimeError(f"{self!r} has not started. Emit its events from the worker that has it.")
        return self._ctx.emit(event_class, task=self, **kwargs)

    def _begun(self, native: "_native.Task", ctx: "WorkContext") -> None:
        self._native, self._ctx, self._status = native, ctx, TaskStatus.RUNNING
        self._tell(lambda events: events.TaskStarted)

    def _dropped(self, why: Union[str, Exception, None] = None) -> None:
        """Forget an attempt that its worker didn't answer. ``why`` fails it, in words or as the exception that ended the worker."""
        native = self._native
        if native is not None:
            self._took, self._native, self._status = self.running_time, None, TaskStatus.WAITING
            if isinstance(why, Exception):
                native.fail(why)
            elif why is not None:
                native.reject(why, True)

    def _answered(self, method: str) -> "_native.Task":
        native = self._native
        if native is None:
            if self._status in (TaskStatus.ACCEPTED, TaskStatus.REJECTED):
                raise RuntimeError(f"`{method}` was called on {self!r}, which is {self._status.name.lower()} already. Answer each task once.")
            raise RuntimeError(f"`{method}` was called on {self!r}, which no worker has. Answer it in the worker that got it.")
        self._took, self._native = self.running_time, None
        return native

    def _tell(self, choose: Callable[[Any], Any], **kwargs: Any) -> None:
        from golem_tasks.yapapi import events

        kind = choose(events)
        self.emit(kind, **kwargs)
        if kind is not events.TaskStarted:
            self.emit(events.TaskFinished)
