"""The executor of yapapi 0.5: a package, a budget and a timeout, and calls that submit tasks."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import TracebackType
from typing import AsyncIterable, AsyncIterator, Iterable, Optional, Type, TypeVar, Union

from golem_tasks.yapapi._absent import ENGINE, absent
from golem_tasks.yapapi._consumers import EventConsumer
from golem_tasks.yapapi._task import Task, TaskStatus
from golem_tasks.yapapi._words import DEFAULT_EXECUTOR_TIMEOUT, DEFAULT_WORKERS
from golem_tasks.yapapi._work import Worker
from golem_tasks.yapapi.engine import NoPaymentAccountError
from golem_tasks.yapapi.golem import Golem, Money
from golem_tasks.yapapi.log import log_event_repr
from golem_tasks.yapapi.payload import Payload
from golem_tasks.yapapi.strategy import BaseMarketStrategy

__all__ = ["DEFAULT_EXECUTOR_TIMEOUT", "Executor", "NoPaymentAccountError", "SmartQueue", "Task", "TaskStatus"]

D = TypeVar("D")
R = TypeVar("R")

SmartQueue = absent(__name__, "SmartQueue", ENGINE)


class Executor:
    """Executes tasks with one package within a budget and a timeout, which begins when it is entered. Use it in ``async with``."""

    def __init__(
        self,
        *,
        budget: Money,
        package: Optional[Payload] = None,
        max_workers: int = DEFAULT_WORKERS,
        timeout: timedelta = DEFAULT_EXECUTOR_TIMEOUT,
        strategy: Optional[BaseMarketStrategy] = None,
        subnet_tag: Optional[str] = None,
        driver: Optional[str] = None,
        network: Optional[str] = None,
        event_consumer: Optional[EventConsumer] = None,
        stream_output: bool = False,
        payload: Optional[Payload] = None,
    ) -> None:
        """Set it up; nothing is asked of anybody yet. ``payload`` is another name of ``package``."""
        chosen = package if package is not None else payload
        if not isinstance(chosen, Payload):
            hint = "Await it: `await vm.repo(..)`." if hasattr(chosen, "__await__") else "Use `await vm.repo(..)`."
            raise TypeError(f"The package is of the type `{type(chosen).__name__}`. {hint}")
        if isinstance(max_workers, bool) or not isinstance(max_workers, int) or max_workers < 1:
            raise ValueError(f"`max_workers` is {max_workers!r}. Give a whole number above zero.")
        if not isinstance(timeout, timedelta) or timeout <= timedelta(0):
            raise ValueError(f"`timeout` is {timeout!r}. Give a `timedelta` above zero.")
        self._payload = chosen
        self._max_workers = max_workers
        self._timeout = timeout
        self._golem = Golem(
            budget=budget,
            strategy=strategy,
            subnet_tag=subnet_tag,
            payment_driver=driver,
            payment_network=network,
            event_consumer=log_event_repr if event_consumer is None else event_consumer,
            stream_output=stream_output,
        )
        self._deadline = 0.0

    @property
    def driver(self) -> str:
        """The payment driver, in lower case."""
        return self._golem.payment_driver

    @property
    def network(self) -> str:
        """The payment network, in lower case."""
        return self._golem.payment_network

    payment_driver = driver
    payment_network = network

    @property
    def strategy(self) -> BaseMarketStrategy:
        """The strategy."""
        return self._golem.strategy

    async def __aenter__(self) -> "Executor":
        """Start it.

        **Raises** :class:`NoPaymentAccountError <golem_tasks.yapapi.engine.NoPaymentAccountError>` and other errors of the start.
        """
        await self._golem.start()
        try:
            await self._golem.open(self._payload, self._max_workers)
        except BaseException:
            await self._golem.stop()
            raise
        self._deadline = asyncio.get_running_loop().time() + self._timeout.total_seconds()
        return self

    async def __aexit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc_val: Optional[BaseException],
        exc_tb: Optional[TracebackType],
    ) -> None:
        await self._golem.__aexit__(exc_type, exc_val, exc_tb)

    def submit(
        self,
        worker: Worker,
        data: Union[Iterable["Task[D, R]"], AsyncIterable["Task[D, R]"]],
        job_id: Optional[str] = None,
    ) -> AsyncIterator["Task[D, R]"]:
        """Execute tasks and yield each as its result is accepted, in that order. All calls share the timeout.

        **Raises** what :meth:`Golem.execute_tasks <golem_tasks.yapapi.golem.Golem.execute_tasks>` raises, and :class:`RuntimeError` outside
        of ``async with``.
        """
        if not self._golem.operative:
            raise RuntimeError("The executor isn't started, or has ended. Submit tasks within `async with Executor(..)`.")
        left = self._deadline - asyncio.get_running_loop().time()
        timeout = timedelta(seconds=max(left, 0.001))
        return self._golem.execute_tasks(worker, data, self._payload, self._max_workers, timeout, job_id)
