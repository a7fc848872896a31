"""A function applied to many inputs, each on some provider's machine."""

from __future__ import annotations

import asyncio
import functools
import heapq
import inspect
import itertools
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Generator, Iterable, Sized
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Callable, Generic, Optional, TypeVar, Union, cast

from . import _native
from ._bridge import label
from ._bridge import source as as_source
from ._context import Context
from ._errors import GolemError, Provider, TaskFailed, WorkFailed, task_failed, translated
from ._money import cost_of
from ._native import Executor, Submitted
from ._progress import Bar

T = TypeVar("T")
R = TypeVar("R")

Function = Callable[[Context, T], Awaitable[R]]
"""A coroutine function of a machine and an input."""
Inputs = Union[Iterable[T], AsyncIterable[T]]


@dataclass(frozen=True)
class Done(Generic[T, R]):
    """An input and its value."""

    input: T
    value: R
    provider: Provider
    """The provider that did it."""
    cost: Decimal
    """GLM that the provider asks for this time, all threads of its machine busy. What is paid is in the summary at the end: starts and pauses
    cost, too."""
    running_time: timedelta
    """The duration of the attempt that made the value."""
    attempts: int
    """The number of attempts, that one included."""


class _Numbered(Generic[T]):
    """An input with its place, from 0."""

    __slots__ = ("input", "place", "raised")

    def __init__(self, place: int, input: T) -> None:
        self.place = place
        self.input = input
        self.raised: Optional[BaseException] = None


class Mapped(Generic[T, R]):
    """The values of a map as they come. Read it by ``async for``, or ``await`` it for a list of all values in the order of the inputs.

    An input that fails ends no other. Where inputs have no value, :class:`WorkFailed` comes last, after all values; with ``return_exceptions=True``
    each failed input is an item instead, a :class:`TaskFailed`.

    Dropping it, :meth:`cancel`, and leaving an ``async for`` whose map nobody keeps cancel what is left. Reading may be cancelled and gone on with:
    nothing is lost.
    """

    def __init__(
        self,
        ready: Callable[[Optional[int]], Awaitable[Executor]],
        price: Callable[[str], Decimal],
        progress: Callable[[Optional[int]], Bar],
        function: Function[T, R],
        inputs: Inputs[T],
        workers: Optional[int],
        retries: Optional[int],
        timeout: Optional[float],
        ordered: bool,
        return_exceptions: bool,
    ) -> None:
        self._ready, self._price, self._progress = ready, price, progress
        self._function, self._inputs = function, inputs
        self._workers, self._retries, self._timeout = workers, retries, timeout
        self._ordered, self._return_exceptions = ordered, return_exceptions
        self._submitted: Optional[Submitted] = None
        self._buffer: list[Union[_native.Finished, _native.TaskFailure]] = []
        self._early: list[tuple[int, Union[Done[T, R], TaskFailed]]] = []
        self._next = 0
        self._failed: list[TaskFailed] = []
        self._end: Optional[GolemError] = None
        self._is_over = False
        self._is_reading = False
        self._begun: Optional[asyncio.Task[Submitted]] = None
        self._bar = Bar()

    def cancel(self) -> None:
        """Cancels what is left: functions at work are cancelled, nothing more comes."""
        self._is_over = True
        self._bar.close()
        if self._begun is not None:
            self._begun.cancel()
        if self._submitted is not None:
            self._submitted.cancel()

    def _close(self) -> None:
        """Ends what is left, because nobody works any more: whoever still reads is told so."""
        if self._is_over:
            return
        if self._submitted is not None:
            self._submitted.cancel()
        text = "The Golem was closed before this map was done. Read a map to its end within the block."
        self._end = WorkFailed(text, "closed", self._failed, [])
        self._end.kind = "closed"

    def __aiter__(self) -> AsyncIterator[Done[T, R]]:
        return self

    async def __anext__(self) -> Done[T, R]:
        if self._is_reading:
            raise RuntimeError("Two tasks read this map at the same time. Read it in one, or make a map for each.")
        self._is_reading = True
        try:
            item = await self._read()
        finally:
            self._is_reading = False
        if item is None:
            raise StopAsyncIteration
        # With return_exceptions it may be a TaskFailed; who asks for that knows.
        return cast("Done[T, R]", item)

    def __await__(self) -> Generator[Any, None, list[R]]:
        return self._all().__await__()

    async def _all(self) -> list[R]:
        self._ordered = True
        values: list[Any] = []
        async for item in self:
            values.append(item.value if isinstance(item, Done) else item)
        return values

    async def _read(self) -> Union[Done[T, R], TaskFailed, None]:
        while True:
            if self._ordered and self._early and self._early[0][0] == self._next:
                self._next += 1
                return heapq.heappop(self._early)[1]
            got = await self._take()
            if got is None:
                if self._early:
                    # What is between them failed, or was never read.
                    place, item = heapq.heappop(self._early)
                    self._next = place + 1
                    return item
                self._over()
                return None
            place, item = got
            if isinstance(item, TaskFailed) and not self._return_exceptions:
                self._failed.append(item)
                if self._ordered and place == self._next:
                    self._next += 1
                continue
            if not self._ordered:
                return item
            heapq.heappush(self._early, (place, item))

    def _over(self) -> None:
        end, self._end = self._end, None
        if end is not None and not (self._return_exceptions and getattr(end, "cause", None) == "tasks_failed"):
            raise end

    async def _take(self) -> Optional[tuple[int, Union[Done[T, R], TaskFailed]]]:
        if not self._buffer:
            if self._is_over:
                return None
            if self._end is not None:
                self._is_over = True
                return None
            submitted = await self._begin()
            try:
                self._buffer = list(reversed(await submitted.next()))
            except _native.Error as error:
                self._end = self._end or self._of_job(error)
            if not self._buffer:
                self._is_over = True
                self._bar.close()
                return None
        item = self._buffer.pop()
        self._bar.step()
        numbered: _Numbered[T] = item.data
        if isinstance(item, _native.TaskFailure):
            return numbered.place, task_failed(item, numbered.input, numbered.raised)
        time = timedelta(seconds=item.running_time)
        cost = cost_of(self._price(item.provider_id), item.running_time)
        provider = Provider(item.provider_id, item.provider_name)
        return numbered.place, Done(numbered.input, item.result, provider, cost, time, item.attempts)

    async def _begin(self) -> Submitted:
        if self._submitted is None:
            # Two readers, or one that was cancelled, begin it once.
            if self._begun is None or (self._begun.done() and not self._begun.cancelled() and self._begun.exception()):
                self._begun = asyncio.ensure_future(self._submit())
            self._submitted = await asyncio.shield(self._begun)
        return self._submitted

    async def _submit(self) -> Submitted:
        executor = await self._ready(self._workers)
        inputs = self._inputs
        total = len(inputs) if isinstance(inputs, Sized) else None
        self._bar = self._progress(total)
        tasks: Any
        if isinstance(inputs, AsyncIterable):
            tasks = as_source(_numbered(inputs))
        elif isinstance(inputs, (list, tuple)):
            tasks = [_Numbered(place, input) for place, input in enumerate(inputs)]
        else:
            tasks = as_source(itertools.starmap(_Numbered, enumerate(inputs)))
        return executor.submit(
            self._worker,
            tasks,
            retries=self._retries,
            timeout=self._timeout,
            describe=lambda numbered: label(numbered.input),
            failures=True,
        )

    async def _worker(self, native: _native.Context, tasks: _native.Tasks) -> None:
        ctx, function = Context(native), self._function
        async for task in tasks:
            numbered: _Numbered[T] = task.data
            try:
                value = await function(ctx, numbered.input)
            except Exception as error:
                numbered.raised = error
                if not task.fail(error):
                    raise
            else:
                numbered.raised = None
                task.accept(value)

    def _of_job(self, error: _native.Error) -> GolemError:
        details = error.details
        if error.kind != "job":
            return translated(error)
        if self._return_exceptions:
            self._failed = [task_failed(failure, failure.data.input, failure.data.raised) for failure in details["failed"]]
        unfinished = [numbered.input for numbered in details["unfinished"]]
        made = WorkFailed(str(error), details["cause"], self._failed, unfinished)
        made.kind = details["cause"]
        if self._failed:
            made.__cause__ = self._failed[0]
        return made


async def _numbered(inputs: AsyncIterable[T]) -> AsyncIterator[_Numbered[T]]:
    place = 0
    async for input in inputs:
        yield _Numbered(place, input)
        place += 1


def check_function(function: object) -> None:
    """Raises :class:`TypeError` for what is not a coroutine function."""
    called = function
    while isinstance(called, functools.partial):
        called = called.func
    if not inspect.isroutine(called) and callable(called):
        called = called.__call__
    if inspect.iscoroutinefunction(called):
        return
    name = getattr(function, "__qualname__", repr(function))
    if inspect.isasyncgenfunction(called):
        raise TypeError(f"{name} is an async generator. Make it return its value instead of yielding it; golem_tasks.yapapi takes generators.")
    if callable(function):
        raise TypeError(f"{name} is not a coroutine function. Write it as `async def {getattr(function, '__name__', 'work')}(ctx, input)`.")
    raise TypeError(f"{name} is not a function. Pass a coroutine function of a context and an input.")


def check_inputs(inputs: object) -> None:
    """Raises :class:`TypeError` for what can't be iterated."""
    if isinstance(inputs, (str, bytes)):
        raise TypeError(f"The inputs are one {type(inputs).__name__}, which would be taken apart. Put it into a list.")
    if not isinstance(inputs, (Iterable, AsyncIterable)):
        raise TypeError(f"The inputs are {inputs!r}. Pass an iterable or an async iterable of them.")
