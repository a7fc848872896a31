"""The entry point of programs: a budget, and calls that execute tasks within it."""

from __future__ import annotations

import asyncio
import warnings
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from types import TracebackType
from typing import Any, AsyncIterable, AsyncIterator, Iterable, List, Optional, Set, Type, TypeVar, Union

from golem_tasks import _native
from golem_tasks.yapapi import _legacy, _mode, events
from golem_tasks.yapapi._absent import NETWORKS, SERVICES, refuse
from golem_tasks.yapapi._consumers import Consumers, EventConsumer
from golem_tasks.yapapi._jobs import Call, check_call, next_job_id
from golem_tasks.yapapi._market import Market, of_strategy, with_demand_of
from golem_tasks.yapapi._task import Task
from golem_tasks.yapapi._words import DEFAULT_TASKS_TIMEOUT, DEFAULT_WORKERS
from golem_tasks.yapapi._work import Worker
from golem_tasks.yapapi.config import ApiConfig, MissingConfiguration
from golem_tasks.yapapi.errors import BudgetInUse
from golem_tasks.yapapi.log import log_event_repr, log_summary
from golem_tasks.yapapi.payload import Payload
from golem_tasks.yapapi.strategy import BaseMarketStrategy, DecreaseScoreForUnconfirmedAgreement, LeastExpensiveLinearPayuMS

__all__ = ["Golem"]

D = TypeVar("D")
R = TypeVar("R")
Money = Union[float, Decimal, str]


class Golem:
    """Executes tasks on the Golem Network within a budget. Use it in ``async with``, or call :meth:`start` and :meth:`stop`.

    Leaving it ends all agreements and settles bills. It can be started again then.
    """

    def __init__(
        self,
        *,
        budget: Money,
        strategy: Optional[BaseMarketStrategy] = None,
        subnet_tag: Optional[str] = None,
        payment_driver: Optional[str] = None,
        payment_network: Optional[str] = None,
        event_consumer: Optional[EventConsumer] = None,
        stream_output: bool = False,
        api_config: Optional[ApiConfig] = None,
        app_key: Optional[str] = None,
        driver: Optional[str] = None,
        network: Optional[str] = None,
    ) -> None:
        """Set it up; nothing is asked of anybody yet.

        ``budget`` is GLM for everything that it does from its start to its stop; it is never exceeded. Without ``event_consumer`` a summary is
        logged. ``stream_output`` has events of commands and their output while they run. ``driver`` and ``network`` are old names of
        ``payment_driver`` and ``payment_network``. **Raises** :class:`ValueError` and
        :class:`TypeError` for settings that can't work.
        """
        self._budget = _glm("budget", budget)
        self._strategy = _strategy(strategy)
        self._subnet = _legacy.subnet(subnet_tag)
        self._driver = _legacy.driver(payment_driver or driver)
        self._network = _legacy.network(payment_network or network)
        self._stream = stream_output
        if app_key is not None:
            warnings.warn("`Golem(app_key=..)` is deprecated. Use `api_config=ApiConfig(app_key=..)`.", DeprecationWarning, 2)
            api_config = api_config or ApiConfig(app_key=app_key)
        self._api = api_config or ApiConfig()
        self._consumers = Consumers()
        self.add_event_consumer(log_summary(log_event_repr) if event_consumer is None else event_consumer)
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._devnet: Optional[_native.Devnet] = None
        self._markets: List[Market] = []
        self._spent = Decimal(0)
        self._opening: Optional[asyncio.Lock] = None
        self._calls: Set[Call] = set()

    def add_event_consumer(
        self,
        event_consumer: EventConsumer,
        event_classes_or_names: Iterable[Union[Type[events.Event], str]] = (events.Event,),
    ) -> None:
        """Call ``event_consumer`` with each event of these classes. **Raises** :class:`ValueError` for unknown names."""
        self._consumers.add(event_consumer, event_classes_or_names)

    @property
    def payment_driver(self) -> str:
        """The payment driver, in lower case."""
        return self._driver

    @property
    def payment_network(self) -> str:
        """The payment network, in lower case."""
        return self._network

    driver = payment_driver
    network = payment_network

    @property
    def subnet_tag(self) -> str:
        """The part of the market to buy on."""
        return self._subnet

    @property
    def strategy(self) -> BaseMarketStrategy:
        """The strategy. It can be set while the ``Golem`` isn't started."""
        return self._strategy

    @strategy.setter
    def strategy(self, strategy: BaseMarketStrategy) -> None:
        if self.operative:
            raise AttributeError("The strategy can't be changed while the Golem is started. Stop it first.")
        self._strategy = _strategy(strategy)

    @property
    def operative(self) -> bool:
        """True from its start to its stop."""
        return self._loop is not None

    async def start(self) -> None:
        """Start it; a second time does nothing.

        **Raises** :class:`MissingConfiguration <golem_tasks.yapapi.config.MissingConfiguration>` without a key to the daemon.
        """
        if self.operative:
            self._on_its_loop()
            return
        mode = _mode.devnet()
        if mode is not None:
            self._devnet = await _native.Devnet.start(
                mode.providers,
                seed=mode.seed,
                instant=mode.instant,
                scripted=mode.scripted,
                driver=self._driver,
                network=self._network,
                subnet_tag=self._subnet or None,
                image=mode.image,
            )
        elif not self._api.app_key:
            raise MissingConfiguration("YAGNA_APPKEY", "key to the daemon; `yagna app-key list` shows it")
        self._spent = Decimal(0)
        self._opening = asyncio.Lock()
        self._loop = asyncio.get_running_loop()

    async def stop(self, wait_for_payments: bool = True) -> None:
        """End all jobs and agreements and settle bills. Without ``wait_for_payments`` it leaves at once, with bills unsettled."""
        if not self.operative:
            return
        self._on_its_loop()
        try:
            for call in list(self._calls):
                call.stop()
            if wait_for_payments:
                for outcome in await asyncio.gather(*map(self._close, list(self._markets)), return_exceptions=True):
                    if isinstance(outcome, BaseException):
                        raise outcome
            else:
                for market in self._markets:
                    market.leave()
            for call in list(self._calls):  # Those that nobody reads any more.
                call.cancel()
        except BaseException as error:
            self._consumers(events.ShutdownFinished(exc_info=events._error(error)))
            raise
        else:
            self._consumers(events.ShutdownFinished())
        finally:
            self._markets, self._loop = [], None
            devnet, self._devnet = self._devnet, None
            if devnet is not None:
                await devnet.stop()

    async def __aenter__(self) -> "Golem":
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc_val: Optional[BaseException],
        exc_tb: Optional[TracebackType],
    ) -> None:
        if exc_val is not None:
            self._consumers(events.ExecutionInterrupted(exc_info=events._error(exc_val)))
        await self.stop()

    def execute_tasks(
        self,
        worker: Worker,
        data: Union[Iterable["Task[D, R]"], AsyncIterable["Task[D, R]"]],
        payload: Payload,
        max_workers: Optional[int] = None,
        timeout: Optional[timedelta] = None,
        job_id: Optional[str] = None,
        implicit_init: bool = True,
        budget: Optional[Money] = None,
    ) -> AsyncIterator["Task[D, R]"]:
        """Execute tasks and yield each as its result is accepted, in that order.

        It begins when it is first iterated over. Defaults: 5 workers, 15 minutes. ``budget`` is a share of the Golem's budget; it is needed
        only where several payloads are at work at once. Calls with the same payload share agreements.

        **Raises**, while it is iterated over, :class:`UnfinishedTasks <golem_tasks.yapapi.errors.UnfinishedTasks>` if tasks have no result
        at the end, those left out that a worker rejected without ``retry``;
        :class:`NoPaymentAccountError <golem_tasks.yapapi.engine.NoPaymentAccountError>` and other errors of the start.
        """
        workers = DEFAULT_WORKERS if max_workers is None else max_workers
        limit = DEFAULT_TASKS_TIMEOUT if timeout is None else timeout
        check_call(worker, data, payload, workers, limit)
        share = None if budget is None else _glm("budget", budget)
        return self._executed(worker, data, payload, workers, limit, next_job_id(job_id), implicit_init, share)

    async def _executed(
        self,
        worker: Worker,
        data: Any,
        payload: Payload,
        max_workers: int,
        timeout: timedelta,
        job_id: str,
        implicit_init: bool,
        share: Optional[Decimal],
    ) -> AsyncIterator["Task[D, R]"]:
        self._on_its_loop()
        market = await self._market(payload, max_workers, implicit_init, share)
        call = Call(market, worker, data, payload, timeout, job_id, self._consumers, self._stream)
        self._calls.add(call)
        try:
            async for task in call.tasks():
                yield task
        finally:
            self._calls.discard(call)
            call.cancel()

    async def open(self, payload: Payload, max_workers: int) -> None:
        """Start what a call with this payload needs, so that errors of the start come now."""
        self._on_its_loop()
        market = await self._market(payload, max_workers, True, None)
        market.at_work -= 1

    async def _market(self, payload: Payload, max_workers: int, implicit_init: bool, share: Optional[Decimal]) -> Market:
        """Return an executor of the engine for a call, which counts as at work there from now on."""
        settings = await with_demand_of(self._strategy, await payload._settings())
        assert self._opening is not None and self._loop is not None
        async with self._opening:
            for market in list(self._markets):
                suits = market.serves(settings, implicit_init)
                if suits and (market.max_workers == max_workers or market.at_work):
                    market.at_work += 1
                    return market
                if not market.at_work:
                    await self._close(market)
            rest = self._budget - self._spent - sum((market.reserved() for market in self._markets), Decimal(0))
            if rest <= 0 or (share is not None and share > rest):
                raise BudgetInUse(
                    f"{max(rest, Decimal(0)):f} GLM of the budget of {self._budget:f} GLM are free: calls with other payloads have the rest. Give each "
                    "of several calls at once its share by `execute_tasks(.., budget=..)`, or use a Golem for each payload."
                )
            market = Market(settings, max_workers, implicit_init, self._consumers)
            await market.start(self._settings(rest if share is None else share), self._devnet)
            market.at_work += 1
            self._markets.append(market)
            return market

    def _settings(self, budget: Decimal) -> _native.Settings:
        assert self._loop is not None
        settings = of_strategy(self._strategy, self._loop)
        settings["budget"] = f"{budget:f}"
        if self._devnet is None:
            settings["driver"], settings["network"] = self._driver, self._network
            settings["app_key"], settings["api_url"] = self._api.app_key, self._api.api_url
            settings["subnet_tag"] = self._subnet
        return settings

    async def _close(self, market: Market) -> None:
        if market in self._markets:
            self._markets.remove(market)
        self._spent += await market.close()

    def _on_its_loop(self) -> None:
        """Raise :class:`RuntimeError` unless it is started and this is the event loop that it was started on."""
        if self._loop is None:
            raise RuntimeError("The Golem isn't started. Use it in `async with`, or call `await golem.start()` first.")
        if self._loop is not asyncio.get_running_loop():
            raise RuntimeError("The Golem was started on another event loop. Use it on that one, or start another Golem here.")

    def run_service(self, *_: Any, **__: Any) -> Any:
        """Not available: there are no services yet."""
        refuse("yapapi.Golem.run_service", SERVICES)

    def resume_service(self, *_: Any, **__: Any) -> Any:
        """Not available: there are no services yet."""
        refuse("yapapi.Golem.resume_service", SERVICES)

    async def create_network(self, *_: Any, **__: Any) -> Any:
        """Not available: there are no virtual networks yet."""
        refuse("yapapi.Golem.create_network", NETWORKS)

    async def resume_network(self, *_: Any, **__: Any) -> Any:
        """Not available: there are no virtual networks yet."""
        refuse("yapapi.Golem.resume_network", NETWORKS)


def _glm(name: str, amount: Money) -> Decimal:
    if isinstance(amount, bool) or not isinstance(amount, (int, float, Decimal, str)):
        raise TypeError(f"`{name}` is of the type `{type(amount).__name__}`. Give a number of GLM.")
    try:
        exact = Decimal(repr(amount) if isinstance(amount, float) else str(amount))
    except InvalidOperation:
        raise ValueError(f"`{name}` is {amount!r}, which isn't a number of GLM. Give one such as `0.5`.") from None
    if not exact.is_finite() or exact <= 0:
        raise ValueError(f"`{name}` is {amount!r} GLM. Give a number above zero.")
    return exact


def _strategy(strategy: Optional[BaseMarketStrategy]) -> BaseMarketStrategy:
    if strategy is None:
        return DecreaseScoreForUnconfirmedAgreement(LeastExpensiveLinearPayuMS(), 0.5)
    if not isinstance(strategy, BaseMarketStrategy):
        raise TypeError(f"The strategy is of the type `{type(strategy).__name__}`. Derive it from `MarketStrategy`.")
    return strategy
