"""The way to work on the Golem Network: a budget, providers, functions."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, Callable, Optional, TypeVar, Union

from . import _native
from ._context import Time, seconds
from ._errors import translated
from ._map import Function, Inputs, Mapped, check_function, check_inputs
from ._money import amount
from ._payload import settings_of
from ._progress import Progress, bar
from ._summary import Summary, Tally

T = TypeVar("T")
R = TypeVar("R")

Money = Union[Decimal, str, int, float]
"""GLM: a ``decimal.Decimal``, a text such as ``"0.5"``, or a number. As a budget also ``"10,3/h"``: 10 in all, and 3 in any hour."""
Image = Union[str, Mapping[str, Any]]
"""An image, by its tag or its hash, or all that is wanted of a machine: ``{"image": "golem/blender:latest", "min_mem_gib": 4}``."""

_logger = logging.getLogger("golem_tasks")
_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}


class Golem:
    """Work on the Golem Network, within one budget::

        async with gt.Golem(budget="0.5", devnet=True) as golem:
            async for frame in golem.map(render, range(60), image="golem/blender:latest"):
                print(frame.input, frame.value, frame.provider, frame.cost)

    Leaving the block ends all work, ends the agreements and settles the bills, for a bounded time, whatever happened in the block.

    ``budget``: GLM that all work together may cost, 1 unless given. ``image``: the machine, for all maps that name none. ``devnet``: work on an emulated
    network in this process: ``True``, or the number of its providers; or a started :class:`Devnet`. ``workers``: providers that work at the same time, 5
    unless given. ``retries``: of each input that fails, 3 unless given. ``timeout``: the time for everything, an hour unless given. ``network``, ``driver``,
    ``subnet``, ``app_key`` and ``api_url`` come from the environment (YAGNA_APPKEY, ..) unless given. ``max_start`` and ``max_per_hour``: GLM that a
    provider may ask for its start and for an hour; 0.5 and 5 unless given. ``strategy``: scores offers, see docs/python.md. ``only`` and ``without``:
    names or ids of providers. ``progress``: see :data:`Progress`. ``on_event``: is called with each event of the engine.

    What happens is in Python's log, as lines of the logger ``golem_tasks``.
    """

    def __init__(
        self,
        budget: Money = "1",
        *,
        image: Optional[Image] = None,
        devnet: Union[bool, int, _native.Devnet] = False,
        workers: Optional[int] = None,
        retries: Optional[int] = None,
        timeout: Optional[Time] = None,
        network: Optional[str] = None,
        driver: Optional[str] = None,
        subnet: Optional[str] = None,
        app_key: Optional[str] = None,
        api_url: Optional[str] = None,
        max_start: Optional[Money] = None,
        max_per_hour: Optional[Money] = None,
        strategy: Optional[_native.Strategy] = None,
        only: Optional[list[str]] = None,
        without: Optional[list[str]] = None,
        progress: Progress = None,
        on_event: Optional[Callable[[str, dict[str, Any]], object]] = None,
    ) -> None:
        self._payload = None if image is None else settings_of(image)
        self._settings: dict[str, Any] = {
            "budget": amount(budget, "budget"),
            "retries": _count(retries, "retries", 0),
            "timeout": seconds(timeout),
            "network": network,
            "driver": driver,
            "subnet_tag": subnet,
            "app_key": app_key,
            "api_url": api_url,
            "max_start": None if max_start is None else amount(max_start, "max_start"),
            "max_per_hour": None if max_per_hour is None else amount(max_per_hour, "max_per_hour"),
            "strategy": strategy,
            "only_providers": only,
            "except_providers": without,
            "on_line": _log,
        }
        self._workers = _count(workers, "workers", 1)
        self._wanted_devnet = devnet
        self._devnet: Optional[_native.Devnet] = None
        self._progress, self._on_event = progress, on_event
        self._tally = Tally()
        self._maps: weakref.WeakSet[Mapped[Any, Any]] = weakref.WeakSet()
        self._starting: Optional[asyncio.Task[_native.Executor]] = None
        self._state = "new"

    @property
    def summary(self) -> Summary:
        """The results and costs so far; complete after the block."""
        return self._tally.summary

    @property
    def devnet(self) -> Optional[_native.Devnet]:
        """The emulated network, if there is one."""
        return self._devnet

    async def __aenter__(self) -> Golem:
        await self.start()
        return self

    async def __aexit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        # The end goes on where the task that waits for it is cancelled meanwhile, and is waited for all the same.
        closing = asyncio.ensure_future(self.close())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            if not closing.cancelled():
                await closing
            raise

    async def start(self) -> None:
        """Begins, for programs without an ``async with`` block, such as notebooks; :meth:`close` ends it."""
        if self._state != "new":
            raise RuntimeError("This Golem has been started already. Make another one for more work.")
        self._state = "started"
        wanted = self._wanted_devnet
        if isinstance(wanted, _native.Devnet):
            self._devnet = wanted
        elif wanted:
            settings = {name: self._settings[key] for name, key in (("network", "network"), ("driver", "driver"), ("subnet_tag", "subnet_tag"))}
            try:
                self._devnet = await _native.Devnet.start(3 if wanted is True else wanted, **settings)
            except _native.Error as error:
                raise translated(error) from error
        if self._payload is not None:
            try:
                await self._ready(None)
            except BaseException:
                await self.close()
                raise

    async def close(self) -> Summary:
        """Ends all work and all agreements, settles the bills, and gives the summary. Raises :class:`CloseError` where that didn't go well."""
        if self._state in ("new", "closed"):
            self._state = "closed"
            return self.summary
        self._state = "closed"
        # What still runs would be waited for, and nobody wants it.
        for mapped in list(self._maps):
            mapped._close()
        try:
            await self._close()
        finally:
            if self._devnet is not None and self._devnet is not self._wanted_devnet:
                await self._devnet.stop()
        return self.summary

    async def _close(self) -> None:
        if self._starting is None:
            return
        self._starting.cancel() if not self._starting.done() else None
        try:
            executor = await self._starting
        except (asyncio.CancelledError, Exception):
            # It never started: whoever waited for it knows.
            return
        try:
            end = await executor.close()
        except _native.Error as error:
            raise translated(error) from error
        summary = self.summary
        summary.cost, summary.unsettled, summary.is_over = Decimal(end["cost"]), end["unsettled"], True

    def map(
        self,
        function: Function[T, R],
        inputs: Inputs[T],
        *,
        image: Optional[Image] = None,
        workers: Optional[int] = None,
        retries: Optional[int] = None,
        timeout: Optional[Time] = None,
        ordered: bool = False,
        return_exceptions: bool = False,
    ) -> Mapped[T, R]:
        """Applies a coroutine function to each input, each on some provider's machine, and gives the values as they come.

        ``function(ctx, input)`` runs in this process; what it has done there goes by its :class:`Context`. It may be called several times for one input,
        where an attempt fails. Inputs are read as they are wanted: there may be any number of them. The map begins when it is first read.

        ``retries`` and ``timeout`` (the time for this map alone) as for :class:`Golem`. ``ordered``: in the order of the inputs.

        Raises :class:`TypeError` at once for a function that is not a coroutine function; reading it raises :class:`WorkFailed` at the end, and
        :class:`StartError` where the work can't begin.
        """
        if self._state != "started":
            told = "has ended. Make another one for more work" if self._state == "closed" else "hasn't begun. Use it in an `async with` block"
            raise RuntimeError(f"This Golem {told}.")
        check_function(function)
        check_inputs(inputs)
        if image is not None:
            self._choose(settings_of(image))
        if self._payload is None:
            raise TypeError("No machine is named. Say image=\"golem/alpine:latest\", or which one the work needs.")
        mapped: Mapped[T, R] = Mapped(
            self._ready,
            self._tally.price,
            lambda total: bar(self._progress, total),
            function,
            inputs,
            _count(workers, "workers", 1),
            _count(retries, "retries", 0),
            seconds(timeout),
            ordered,
            return_exceptions,
        )
        self._maps.add(mapped)
        return mapped

    async def add_budget(self, more: Money) -> Decimal:
        """Raises the budget by so much GLM, and gives what it is then. Raises :class:`BudgetError` where that can't be."""
        executor = await self._ready(None)
        try:
            return Decimal(await executor.add_budget(amount(more, "more")))
        except _native.Error as error:
            raise translated(error) from error

    def stop(self) -> None:
        """Stops in order, as Ctrl+C does: maps end with :class:`WorkFailed` of the cause ``cancelled``. Leaving the block settles the bills."""
        if self._starting is not None and self._starting.done() and not self._starting.cancelled() and self._state == "started":
            self._starting.result().stop()

    def _choose(self, payload: dict[str, Any]) -> None:
        if self._payload is not None and payload != self._payload:
            raise ValueError(
                "One Golem works on one kind of machine, and this map names another one than before. Use another Golem for it, with a budget of its own."
            )
        self._payload = payload

    async def _ready(self, workers: Optional[int]) -> _native.Executor:
        if self._state != "started":
            raise RuntimeError("This Golem has ended. Make another one for more work.")
        if self._starting is None or self._starting.cancelled() or (self._starting.done() and self._starting.exception()):
            self._workers = workers or self._workers
            self._starting = asyncio.ensure_future(self._start_executor())
        elif workers is not None and workers != (self._workers or 5):
            raise ValueError(
                f"All maps of a Golem share its workers, and it has {self._workers or 5} already. Say Golem(workers={workers}) or leave `workers` out here."
            )
        return await asyncio.shield(self._starting)

    async def _start_executor(self) -> _native.Executor:
        settings = {name: value for name, value in self._settings.items() if value is not None}
        if self._workers is not None:
            settings["max_workers"] = self._workers
        consumers: list[tuple[_native.EventConsumer, Optional[list[str]], bool]] = [(self._tally.on_event, Tally.KINDS, False)]
        if self._on_event is not None:
            consumers.append((self._on_event, None, False))
        payload: Any = self._payload or {}
        try:
            return await _native.Executor.start(payload, settings, self._devnet, consumers)  # type: ignore[arg-type]
        except _native.Error as error:
            raise translated(error) from error

    def __repr__(self) -> str:
        return f"<Golem, {self._state}: {self.summary}>"

    def _repr_html_(self) -> str:
        return self.summary._repr_html_()


def _count(number: Optional[int], name: str, least: int) -> Optional[int]:
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{name} is {number!r}. Give a whole number.")
    if number < least:
        raise ValueError(f"{name} is {number}. Give {least} or more.")
    return number


def _log(level: str, line: str) -> None:
    _logger.log(_LEVELS.get(level, logging.DEBUG), "%s", line)
