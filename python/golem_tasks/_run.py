"""For scripts: the same without an event loop of their own."""

from __future__ import annotations

import asyncio
import queue
import signal
import sys
import threading
from collections.abc import Awaitable, Iterator
from typing import Any, Callable, Optional, TypeVar, Union

from ._golem import Golem, Image
from ._map import Done, Function, Inputs, check_function, check_inputs

T = TypeVar("T")
R = TypeVar("R")


def run(main: Callable[[Golem], Awaitable[R]], **settings: Any) -> R:
    """Runs an async function of a :class:`Golem` with these settings, as a whole program does, and gives what it returns.

    The first Ctrl+C ends the work in order: agreements are ended and bills settled. The second one leaves at once. Then ``KeyboardInterrupt`` is raised.
    """
    check_main(main)
    golem = Golem(**settings)

    async def whole() -> R:
        async with golem:
            return await main(golem)

    return _with_interrupts(whole)


def check_main(main: object) -> None:
    """Raises :class:`TypeError` for what isn't a coroutine function of a Golem."""
    if asyncio.iscoroutine(main):
        main.close()
        raise TypeError("Pass the function itself: run(main, ..), not run(main(), ..).")
    if not callable(main):
        raise TypeError(f"{main!r} is not a function. Pass a coroutine function of a Golem.")


def _with_interrupts(whole: Callable[[], Awaitable[R]]) -> R:
    loop = asyncio.new_event_loop()
    task: asyncio.Task[R] = loop.create_task(whole())  # type: ignore[arg-type]
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        if interrupted:
            raise KeyboardInterrupt
        interrupted = True
        print("Stopping: agreements are ended and bills settled. Ctrl+C again leaves at once.", file=sys.stderr)
        loop.call_soon_threadsafe(task.cancel)

    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, interrupt) if is_main else None
    try:
        return loop.run_until_complete(task)
    except asyncio.CancelledError:
        if interrupted:
            raise KeyboardInterrupt from None
        raise
    finally:
        if is_main:
            signal.signal(signal.SIGINT, before)
        _close(loop)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    try:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


class _Failed:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def map(
    function: Function[T, R],
    inputs: Inputs[T],
    *,
    image: Image,
    ordered: bool = False,
    return_exceptions: bool = False,
    **settings: Any,
) -> Iterator[Done[T, R]]:
    """Applies a coroutine function to each input, as :meth:`Golem.map` does, for scripts without any ``await``::

        for frame in gt.map(render, range(60), image="golem/blender:latest", budget="0.5", devnet=True):
            print(frame.input, frame.value)

    ``settings`` are those of :class:`Golem`. The work goes on in a thread of its own while the loop's body runs. Leaving the loop ends it, and settles
    the bills.
    """
    check_function(function)
    check_inputs(inputs)
    golem = Golem(image=image, **settings)
    return _mapped(golem, function, inputs, ordered, return_exceptions)


def _mapped(golem: Golem, function: Function[T, R], inputs: Inputs[T], ordered: bool, exceptions: bool) -> Iterator[Done[T, R]]:
    items: queue.Queue[Union[Done[T, R], _Failed, None]] = queue.Queue()
    loop = asyncio.new_event_loop()
    task: Optional[asyncio.Task[None]] = None

    async def whole() -> None:
        async with golem:
            async for item in golem.map(function, inputs, ordered=ordered, return_exceptions=exceptions):
                items.put(item)

    def work() -> None:
        try:
            loop.run_until_complete(task)  # type: ignore[arg-type]
            items.put(None)
        except BaseException as error:
            items.put(_Failed(error))
        finally:
            _close(loop)

    task = loop.create_task(whole())
    thread = threading.Thread(target=work, name="golem-tasks-map", daemon=True)
    thread.start()
    try:
        while True:
            item = items.get()
            if item is None:
                return
            if isinstance(item, _Failed):
                raise item.error
            yield item
    finally:
        if thread.is_alive():
            try:
                loop.call_soon_threadsafe(task.cancel)
            except RuntimeError:
                # It has just ended by itself.
                pass
            thread.join()
