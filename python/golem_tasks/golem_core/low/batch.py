"""Batches of commands."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Optional, Union

from .exceptions import BatchError, BatchTimeoutError, CommandCancelled, CommandFailed

if TYPE_CHECKING:
    from ..commands import Command
    from .activity import Activity


@dataclass(frozen=True)
class CommandResult:
    """A command of a batch that has ended."""

    index: int
    """Its place in the batch, from 0."""
    event_date: datetime
    result: str
    """``Ok`` or ``Error``."""
    stdout: Optional[str]
    stderr: Optional[str]
    message: Optional[str]
    """The failure of a batch."""
    is_batch_finished: bool
    """True for the last result of its batch."""


class PoolingBatch:
    """A batch of commands that an activity executes. Only :meth:`Activity.execute_commands` makes one."""

    def __init__(self, activity: "Activity", number: int, futures: "Sequence[asyncio.Future[CommandResult]]" = ()) -> None:
        self._activity = activity
        self._number = number
        self._futures = futures
        self._events: list[CommandResult] = []
        self._done = asyncio.Event()
        self._error: Optional[BaseException] = None

    @property
    def id(self) -> str:
        """Its name, for logs: of the activity, with the number of the batch on it."""
        return f"{self._activity.id}-{self._number}"

    @property
    def parent(self) -> "Activity":
        """The activity that executes it."""
        return self._activity

    @property
    def done(self) -> bool:
        """True once it has ended."""
        return self._done.is_set()

    @property
    def success(self) -> bool:
        """True if all commands were successful. Raises :class:`AttributeError` before the batch has ended."""
        if not self.done:
            raise AttributeError(f"{self} isn't done, so it isn't known whether it is a success. Await its wait() first.")
        return self._error is None

    @property
    def events(self) -> list[CommandResult]:
        """The results in the order of the commands; the last one of a failed batch is that of the command that failed.

        They are there when the batch is done.
        """
        return list(self._events)

    @property
    def failure_text(self) -> str:
        """The reason of the failure, for people."""
        return str(self._error) if self._error is not None else "nothing is known of a failure"

    async def wait(self, timeout: Union[timedelta, float, None] = None, ignore_errors: bool = False) -> list[CommandResult]:
        """Waits until the batch is done, at most so many seconds, and gives its events.

        Raises :class:`BatchTimeoutError` when the time is up; the batch goes on. Raises :class:`BatchError` if it failed, unless ``ignore_errors``
        is true.
        """
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        try:
            await asyncio.wait_for(self._done.wait(), seconds)
        except asyncio.TimeoutError:
            raise BatchTimeoutError(self, seconds or 0) from None
        if self._error is not None and not ignore_errors:
            raise BatchError(self) from self._error
        return self.events

    def _finish(self, events: list[CommandResult], error: Optional[BaseException] = None) -> None:
        """Takes what came of it, once."""
        self._events, self._error = events, error
        done = len(events) - (1 if error is not None and events and events[-1].result == "Error" else 0)
        for place, future in enumerate(self._futures):
            if future.done():
                continue
            if place < done:
                future.set_result(events[place])
                continue
            kind = CommandFailed if place == done else CommandCancelled
            exception = kind(self)
            exception.__cause__ = error
            future.set_exception(exception)
            # Nobody has to await each of them.
            future.exception()
        self._done.set()

    def __repr__(self) -> str:
        return f"PoolingBatch({self.id})"


def events_of(results: Sequence[Any], commands: Sequence["Command"], is_whole: bool) -> list[CommandResult]:
    """The results of the engine as events, one for each command, with those that it had nothing to do for."""
    ready = iter(results)
    events: list[CommandResult] = []
    now = datetime.now(timezone.utc)
    for index, command in enumerate(commands):
        if command._wire() is None:
            events.append(CommandResult(index, now, "Ok", None, None, None, False))
            continue
        result = next(ready, None)
        if result is None:
            break
        date = datetime.fromtimestamp(result.at, timezone.utc)
        ok = "Ok" if result.success else "Error"
        events.append(CommandResult(index, date, ok, result.stdout, result.stderr, result.message, False))
    if events and (is_whole or events[-1].result == "Error"):
        last = events[-1]
        events[-1] = CommandResult(last.index, last.event_date, last.result, last.stdout, last.stderr, last.message, True)
    return events
