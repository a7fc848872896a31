"""The callables of ``get_tasks``, between the engine, which keeps and hands out what tells them apart, and the event loop, which calls them."""

import asyncio
import inspect
import json
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Optional, Union

from ._identity import Stored, identity

TaskCallable = Callable[[Any], Any]
Source = Union[Iterable[TaskCallable], AsyncIterator[TaskCallable]]

_KEPT = 1000
"""Callables that are kept after they succeeded, in case the engine has to have one called again."""
_LOOKED = 10_000
"""The number of callables up to which a source is read for a callable that was stored earlier, beyond what has been read anyway."""
_AT_ONCE = 64
"""Callables that are read at once."""
_READING = 0.002
"""Seconds that the reading of further ones may keep the event loop from everything else."""


class Gone(Exception):
    """``get_tasks`` no longer yields a task that a run has stored."""


class Pile:
    """The callables of ``get_tasks``, read once, in its order, on the event loop."""

    def __init__(self, get_tasks: Callable[[str], Source], loop: asyncio.AbstractEventLoop) -> None:
        self._get_tasks = get_tasks
        self._loop = loop
        self._done: set[int] = set()
        self._done_before = 0
        self._reset()

    def _reset(self) -> None:
        self._source: Optional[Source] = None
        self._position = 0
        self._handed = 0
        self._is_over = False
        self._error: Optional[Exception] = None
        self._unread: deque[Stored] = deque()
        self._callables: dict[str, _Copies] = {}
        self._succeeded: OrderedDict[str, TaskCallable] = OrderedDict()

    def tasks(self, run_id: str) -> Iterator[Stored]:
        """The stored form of each callable, from the first one on. Called by the engine, in a thread of its own, also to read them once more."""
        on_loop(self._loop, self._open, run_id)
        while True:
            ready = on_loop(self._loop, self._some)
            if not ready:
                return
            yield from ready

    def note_done(self, _index: int, stored: Stored) -> None:
        """Hears of each task that is done when a run is resumed: its callable isn't kept."""
        self._done.add(hash(_text(stored)))
        self._done_before += 1

    async def find(self, stored: Stored) -> TaskCallable:
        """The callable of which this was stored. Raises :class:`Gone` if there is none."""
        text = _text(stored)
        # However many of them are looked for in vain, no more is read.
        most = self._handed + self._done_before + _LOOKED
        while True:
            found = self._callables.get(text)
            if found is not None:
                return found.callable
            if text in self._succeeded:
                return self._succeeded[text]
            if self._position >= most or not await self._read():
                raise Gone(f"get_tasks no longer yields {name_of(stored)}")

    def succeeded(self, stored: Stored) -> None:
        """Forgets a callable that has succeeded, by and by."""
        text = _text(stored)
        copies = self._callables.get(text)
        if copies is None:
            return
        copies.count -= 1
        if copies.count == 0:
            del self._callables[text]
            self._succeeded[text] = copies.callable
            if len(self._succeeded) > _KEPT:
                self._succeeded.popitem(last=False)

    async def _open(self, run_id: str) -> None:
        # It may be read once more, from its first task on.
        self._reset()
        self._turn = asyncio.Lock()
        source = self._get_tasks(run_id)
        if inspect.iscoroutine(source):
            source.close()
            raise TypeError("get_tasks is a coroutine function without `yield`. Yield the tasks, or return a list of them from a plain function.")
        if not isinstance(source, (Iterable, AsyncIterator)):
            raise TypeError(f"get_tasks returned {source!r}. Yield the tasks, or return a list of them.")
        self._source = source if isinstance(source, AsyncIterator) else iter(source)

    async def _some(self) -> list[Stored]:
        """The next ones, one at least unless there are none."""
        until = self._loop.time() + _READING
        while (not self._unread or self._loop.time() < until) and len(self._unread) < _AT_ONCE:
            try:
                if not await self._read():
                    break
            except Exception as error:
                # What was read before it comes first.
                self._error = error
                break
            if isinstance(self._source, AsyncIterator):
                break
        if not self._unread and self._error is not None:
            raise self._error
        ready = list(self._unread)
        self._unread.clear()
        self._handed += len(ready)
        return ready

    async def _read(self) -> bool:
        """Reads one callable more; false if there is none."""
        async with self._turn:
            if self._is_over or self._source is None:
                return False
            try:
                if isinstance(self._source, AsyncIterator):
                    task = await self._source.__anext__()
                else:
                    task = next(self._source)  # type: ignore[call-overload]
            except (StopIteration, StopAsyncIteration):
                self._is_over = True
                return False
            except Exception:
                self._is_over = True
                raise
            self._add(task)
            return True

    def _add(self, task: object) -> None:
        if inspect.iscoroutine(task):
            self._is_over = True
            task.close()
            raise TypeError(
                f"get_tasks yielded the coroutine {task.__qualname__} at position {self._position}. Yield the function itself, which is called with an "
                "activity when there is one, and again where it failed."
            )
        if not callable(task):
            self._is_over = True
            raise TypeError(
                f"get_tasks yielded {task!r} at position {self._position}, which can't be called. A task is an async function of an activity."
            )
        stored = identity(task, self._position)
        self._position += 1
        text = _text(stored)
        if hash(text) in self._done:
            self._done.discard(hash(text))
        else:
            self._callables.setdefault(text, _Copies(task)).count += 1
        self._unread.append(stored)


class _Copies:
    """Callables that nothing tells from each other: one of them, and how many there are."""

    def __init__(self, callable_: TaskCallable) -> None:
        self.callable = callable_
        self.count = 0


def name_of(stored: Stored) -> str:
    """The stored form of a callable, for people."""
    if isinstance(stored, dict) and isinstance(stored.get("callable"), str):
        position = stored.get("position")
        return str(stored["callable"]) + (f" at position {position}" if position is not None else "")
    return f"the task with the key {stored!r}"


def on_loop(loop: asyncio.AbstractEventLoop, function: Callable[..., Any], *args: Any) -> Any:
    """Calls a coroutine function on this event loop from another thread, and gives what it returns."""
    return asyncio.run_coroutine_threadsafe(function(*args), loop).result()


def _text(stored: Stored) -> str:
    return json.dumps(stored, sort_keys=True)
