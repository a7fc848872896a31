"""Helpers between Python's own iterables and the native module."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable, Sized
from typing import TYPE_CHECKING, Any, Callable, Coroutine, Union

if TYPE_CHECKING:
    from ._native import Feed

_LONGEST = 200
"""Characters of a task's name that are kept."""


def label(data: object) -> str:
    """The name of a task for people: in events, in the log."""
    if data is None or isinstance(data, (bool, int, float)):
        return str(data)
    if isinstance(data, os.PathLike):
        return os.fsdecode(data)
    if isinstance(data, (bytes, bytearray, memoryview)):
        return f"{len(data)} bytes"
    if isinstance(data, Sized) and len(data) > _LONGEST:
        return f"{type(data).__name__} of {len(data)}"
    try:
        return str(data)[:_LONGEST]
    except Exception:  # The user's own code: its failure must not be that of the task.
        return type(data).__name__


def source(data: Union[Iterable[Any], AsyncIterable[Any]]) -> Callable[[Feed], Coroutine[Any, Any, None]]:
    """Makes a source of tasks of an iterable or an async iterable: it is read on the event loop, as tasks are wanted."""
    if isinstance(data, AsyncIterable):
        return lambda feed: _feed_async(feed, data)
    if isinstance(data, Iterable):
        return lambda feed: _feed(feed, data)
    raise TypeError(f"The tasks can't be read from {data!r}. Pass an iterable or an async iterable of them.")


async def _feed(feed: Feed, data: Iterable[Any]) -> None:
    iterator = iter(data)
    while room := await feed.ready():
        pack = []
        for task in iterator:
            pack.append(task)
            if len(pack) >= room:
                break
        else:
            feed.put(pack)
            return
        feed.put(pack)


async def _feed_async(feed: Feed, data: AsyncIterable[Any]) -> None:
    async for task in data:
        feed.put([task])
        if not await feed.ready():
            return
