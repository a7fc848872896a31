"""The context of a function: its hands on a provider's machine."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Optional, Union

from . import _native
from ._errors import Provider, translated
from ._native import Result as CommandResult

Time = Union[timedelta, float, int]
"""A time: a ``timedelta``, or seconds."""
File = Union[str, "os.PathLike[str]"]
"""A file of this computer."""

_LIMIT = 16 * 1024 * 1024


def seconds(time: Optional[Time], name: str = "timeout") -> Optional[float]:
    """A time in seconds. Raises :class:`TypeError` or :class:`ValueError` for what is none."""
    if time is None:
        return None
    if isinstance(time, timedelta):
        time = time.total_seconds()
    if isinstance(time, bool) or not isinstance(time, (int, float)):
        raise TypeError(f"{name} is {time!r}. Give a datetime.timedelta, or a number of seconds.")
    if not time > 0:
        raise ValueError(f"{name} is {time!r}. Give a time above zero.")
    return float(time)


class Batch:
    """Commands that go to the machine together, one after the other. ``await batch`` sends them, and gives the result of each.

    A command that fails ends the batch with :class:`CommandFailed`; those after it aren't run. One batch of five commands is faster than five
    of one: each takes its way through the network.
    """

    def __init__(self, ctx: _native.Context, timeout: Optional[float]) -> None:
        self._ctx = ctx
        self._timeout = timeout
        self._commands: list[_native.Command] = []

    def run(self, program: str, *args: object, env: Optional[Mapping[str, str]] = None) -> Batch:
        """Adds a program with its arguments; it is started without a shell. Arguments become texts by ``str``."""
        options = {} if env is None else {"env": {str(name): str(value) for name, value in env.items()}}
        self._commands.append(("run", program, [_argument(arg) for arg in args], options))
        return self

    def sh(self, line: str, *, env: Optional[Mapping[str, str]] = None) -> Batch:
        """Adds a line for the machine's ``/bin/sh``. Quote what comes from others: the shell reads it."""
        options = {} if env is None else {"env": {str(name): str(value) for name, value in env.items()}}
        self._commands.append(("shell", line, options))
        return self

    def upload(self, source: File, to: str) -> Batch:
        """Adds the sending of a file of this computer. It is read in pieces, so its size doesn't matter."""
        self._commands.append(("send_file", os.fspath(source), to))
        return self

    def write(self, content: Union[bytes, str], to: str) -> Batch:
        """Adds the sending of bytes, or of a text as UTF-8, into a file of the machine."""
        if isinstance(content, str):
            content = content.encode()
        self._commands.append(("send_bytes", bytes(content), to))
        return self

    def write_json(self, value: object, to: str) -> Batch:
        """Adds the sending of a value as a JSON document. Raises :class:`TypeError` where it has no form in JSON."""
        return self.write(json.dumps(value), to)

    def download(self, source: str, to: File) -> Batch:
        """Adds the fetching of a file of the machine. It appears here whole or not at all; a file that is there is replaced."""
        self._commands.append(("download_file", source, os.fspath(to)))
        return self

    def read(self, source: str, *, limit: int = _LIMIT) -> Batch:
        """Adds the fetching of a file into memory: the ``content`` of its result. More than ``limit`` bytes is an error, never cut off."""
        self._commands.append(("download_bytes", source, limit))
        return self

    async def commit(self) -> list[CommandResult]:
        """Sends the commands, waits for their end, and gives the result of each. The batch is empty afterwards."""
        commands, self._commands = self._commands, []
        try:
            return await self._ctx.commit(commands, self._timeout)
        except _native.Error as error:
            raise translated(error) from error

    def __await__(self) -> Generator[Any, None, list[CommandResult]]:
        return self.commit().__await__()


def _argument(arg: object) -> str:
    return os.fsdecode(arg) if isinstance(arg, os.PathLike) else str(arg)


class Context:
    """A provider's machine, for one call of a function after the other. What one call leaves there, the next one on the same machine finds.

    All methods raise :class:`CommandFailed`, :class:`CommandTimeout` or :class:`ProviderLost`. A function that lets them through has its input tried again,
    elsewhere where that can be. ``timeout`` is 10 minutes unless given.
    """

    def __init__(self, native: _native.Context) -> None:
        self._native = native
        self.provider = Provider(native.provider_id, native.provider_name)

    @property
    def activity_id(self) -> str:
        """The activity's id."""
        return self._native.activity_id

    @property
    def agreement_id(self) -> str:
        """The id of the agreement that the activity belongs to."""
        return self._native.agreement_id

    def batch(self, *, timeout: Optional[Time] = None) -> Batch:
        """Begins a batch of several commands, which has so much time in all."""
        return Batch(self._native, seconds(timeout))

    async def run(
        self, program: str, *args: object, env: Optional[Mapping[str, str]] = None, timeout: Optional[Time] = None
    ) -> CommandResult:
        """Runs a program and waits for its end. The result has ``stdout``, ``stderr`` and ``exit_code``, which is 0: anything else raises."""
        return (await self.batch(timeout=timeout).run(program, *args, env=env))[0]

    async def sh(
        self, line: str, *, env: Optional[Mapping[str, str]] = None, timeout: Optional[Time] = None
    ) -> CommandResult:
        """Runs a line in the machine's ``/bin/sh`` and waits for its end. Quote what comes from others: the shell reads it."""
        return (await self.batch(timeout=timeout).sh(line, env=env))[0]

    async def upload(self, source: File, to: str, *, timeout: Optional[Time] = None) -> None:
        """Sends a file of this computer to the machine."""
        await self.batch(timeout=timeout).upload(source, to)

    async def write(self, content: Union[bytes, str], to: str, *, timeout: Optional[Time] = None) -> None:
        """Sends bytes, or a text as UTF-8, into a file of the machine."""
        await self.batch(timeout=timeout).write(content, to)

    async def write_json(self, value: object, to: str, *, timeout: Optional[Time] = None) -> None:
        """Sends a value as a JSON document into a file of the machine."""
        await self.batch(timeout=timeout).write_json(value, to)

    async def download(self, source: str, to: File, *, timeout: Optional[Time] = None) -> Path:
        """Fetches a file of the machine, and gives where it is now. It appears whole or not at all."""
        await self.batch(timeout=timeout).download(source, to)
        return Path(to)

    async def read(self, source: str, *, limit: int = _LIMIT, timeout: Optional[Time] = None) -> bytes:
        """Fetches a file of the machine into memory: at most ``limit`` bytes, 16 MiB unless given."""
        content = (await self.batch(timeout=timeout).read(source, limit=limit))[0].content
        return b"" if content is None else content

    async def read_json(self, source: str, *, limit: int = _LIMIT, timeout: Optional[Time] = None) -> Any:
        """Fetches a JSON document of the machine. Raises :class:`ValueError` where it is none."""
        return json.loads(await self.read(source, limit=limit, timeout=timeout))

    async def cost(self) -> Decimal:
        """GLM that the activity costs so far, by the provider's own measure."""
        try:
            return Decimal(await self._native.cost())
        except _native.Error as error:
            raise translated(error) from error

    async def usage(self) -> dict[str, float]:
        """The usage of the activity so far, by counter, such as ``golem.usage.duration_sec``."""
        try:
            return await self._native.usage()
        except _native.Error as error:
            raise translated(error) from error

    def __repr__(self) -> str:
        return f"<Context on {self.provider}>"
