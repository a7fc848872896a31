"""One executor of the engine: a payload, a part of the budget, and the jobs that share them."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

from golem_tasks import _native
from golem_tasks.yapapi import events
from golem_tasks.yapapi._score import Scorer
from golem_tasks.yapapi._translate import Translator
from golem_tasks.yapapi.errors import EngineError, of_start
from golem_tasks.yapapi.payload import settings_of
from golem_tasks.yapapi.props.builder import DemandBuilder
from golem_tasks.yapapi.strategy.base import PROP_DEBIT_NOTE_ACCEPTANCE_TIMEOUT, BaseMarketStrategy

if TYPE_CHECKING:
    from golem_tasks._native import PayloadSettings, Settings

logger = logging.getLogger("yapapi.engine")

#: Seconds that an executor of the engine may live. Each job has its own, shorter, timeout.
_LIFETIME = 30 * 24 * 3600.0

_BY_ENGINE = ("respond_to_provider_offer", "invoice_accepted_amount", "debit_note_accepted_amount")


class Market:
    """One executor of the engine."""

    def __init__(self, payload: "PayloadSettings", max_workers: int, implicit_init: bool, emit: Callable[[events.Event], None]) -> None:
        self.payload = payload
        self.max_workers = max_workers
        self.implicit_init = implicit_init
        self.translator = Translator(emit)
        #: The jobs that are at work.
        self.at_work = 0
        #: True once the engine takes no more jobs here, for example because the budget is used up.
        self.is_over = False
        self._native: Optional[_native.Executor] = None

    @property
    def native(self) -> _native.Executor:
        """The engine's executor."""
        if self._native is None:
            raise EngineError("The executor hasn't started.")
        return self._native

    def serves(self, payload: "PayloadSettings", implicit_init: bool) -> bool:
        """Return whether jobs with this payload can be handed in here."""
        return not self.is_over and self.payload == payload and self.implicit_init == implicit_init

    def reserved(self) -> Decimal:
        """Return the GLM that may be spent here in all."""
        return Decimal(0) if self._native is None else Decimal(self._native.budget().split(",")[0])

    async def start(self, settings: "Settings", devnet: Optional[_native.Devnet]) -> None:
        """Start the executor. **Raises** yapapi's errors."""
        payload = self.payload
        if devnet is not None and "registry" not in payload:
            payload = payload.copy()
            payload["registry"] = "devnet"
        settings["max_workers"] = self.max_workers
        settings["implicit_start"] = self.implicit_init
        settings["timeout"] = _LIFETIME
        try:
            self._native = await _native.Executor.start(payload, settings, devnet, [(self.translator, None, False)])
        except _native.Error as error:
            raise of_start(error) from error

    async def close(self) -> Decimal:
        """End agreements, settle bills, and return the GLM that was spent."""
        if self._native is None:
            return Decimal(0)
        try:
            end = await self._native.close()
        except _native.Error as error:
            raise EngineError(str(error)) from error
        if end["unsettled"]:
            logger.warning("The last bill of %d rental(s) hasn't come. `golem-tasks settle` looks for it.", end["unsettled"])
        return Decimal(end["cost"])

    def leave(self) -> None:
        """Leave at once, with bills unsettled."""
        if self._native is not None:
            self._native.leave()


async def with_demand_of(strategy: BaseMarketStrategy, payload: "PayloadSettings") -> "PayloadSettings":
    """Return the payload with what the strategy adds to the demand."""
    demand = DemandBuilder()
    await strategy.decorate_demand(demand)
    if not demand.properties and not demand._constraints:
        return payload
    added = settings_of(demand)
    whole = payload.copy()
    whole["properties"] = {**payload.get("properties", {}), **added["properties"]}
    whole["constraints"] = [*payload.get("constraints", []), *added["constraints"]]
    return whole


def of_strategy(strategy: BaseMarketStrategy, loop: asyncio.AbstractEventLoop) -> "Settings":
    """Return the settings by which the engine does what the strategy does."""
    settings = strategy._settings()
    if settings is None:
        settings = {"strategy": Scorer(strategy, loop)}
        settings.update(_caps(strategy))
    ranges: Dict[str, Any] = dict(getattr(strategy, "acceptable_prop_value_range_overrides", {}))
    timeout = ranges.pop(PROP_DEBIT_NOTE_ACCEPTANCE_TIMEOUT, None)
    if timeout is not None and timeout.min is not None:
        settings["min_debit_note_accept_timeout"] = float(timeout.min)
    _warn_of_ignored(strategy, list(ranges))
    return settings


def _caps(strategy: BaseMarketStrategy) -> "Settings":
    caps = getattr(strategy, "_caps", None)
    result: "Settings" = caps() if callable(caps) else {}
    return result


def _warn_of_ignored(strategy: BaseMarketStrategy, ranges: List[str]) -> None:
    kinds = [kind for kind in type(strategy).__mro__ if kind.__module__.startswith("golem_tasks.yapapi")]
    own = [kind for kind in type(strategy).__mro__ if kind not in kinds and kind is not object]
    ignored = [name for name in _BY_ENGINE if any(name in vars(kind) for kind in own)] + list(ranges)
    if ignored:
        logger.warning(
            "The strategy %s sets %s, which the engine decides itself.",
            type(strategy).__name__,
            ", ".join(f"`{name}`" for name in ignored),
        )
