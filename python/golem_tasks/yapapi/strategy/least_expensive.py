"""The strategy that takes the least expensive offers first."""

from __future__ import annotations

from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Union

from golem_tasks.yapapi.props.base import InvalidPropertiesError
from golem_tasks.yapapi.props.com import ComLinear, Counter
from golem_tasks.yapapi.strategy.base import SCORE_REJECTED, SCORE_TRUSTED, MarketStrategy

if TYPE_CHECKING:
    from golem_tasks._native import Settings
    from golem_tasks.yapapi.rest.market import OfferProposal

__all__ = ["LeastExpensiveLinearPayuMS"]

_HOUR = 3600
_DEFAULT_EXPECTED_SECS = 60


class LeastExpensiveLinearPayuMS(MarketStrategy):
    """Takes offers with linear prices, the least expensive first.

    ``max_fixed_price`` is GLM for the start of an activity, ``max_price_for`` GLM for each second of CPU or of time, or for a unit of another
    counter; an offer above a cap is rejected. The engine's own caps hold beside these: 0.5 GLM for the start unless ``max_fixed_price`` is given,
    and 5 GLM for an hour at full use unless both CPU and time have caps. With the default ``expected_time_secs`` the engine compares prices
    itself.
    """

    def __init__(
        self,
        expected_time_secs: int = _DEFAULT_EXPECTED_SECS,
        max_fixed_price: Decimal = Decimal("inf"),
        max_price_for: Mapping[Union[Counter, str], Decimal] = MappingProxyType({}),
    ) -> None:
        if expected_time_secs <= 0:
            raise ValueError(f"`expected_time_secs` is {expected_time_secs}. Give a number of seconds above zero.")
        self._expected_time_secs = expected_time_secs
        self._max_fixed_price = Decimal(str(max_fixed_price))
        self._max_price_for: Dict[str, Decimal] = {
            counter.value if isinstance(counter, Counter) else str(counter): Decimal(str(price)) for counter, price in max_price_for.items()
        }
        for price in (self._max_fixed_price, *self._max_price_for.values()):
            if price.is_nan() or price < 0:
                raise ValueError(f"A price cap is {price}. Give a number of GLM that isn't negative.")

    async def score_offer(self, offer: "OfferProposal", history: Any = None) -> float:
        """Return 100 / (cost + 1.01), where the cost is that of ``expected_time_secs`` of each counter; -1 for offers above a cap."""
        try:
            prices = ComLinear.from_properties(offer.props)
        except InvalidPropertiesError:
            return SCORE_REJECTED
        if prices.fixed_price < 0 or _exact(prices.fixed_price) > self._max_fixed_price:
            return SCORE_REJECTED
        for counter, price in prices.price_for.items():
            cap = self._max_price_for.get(counter)
            if price < 0 or (cap is not None and _exact(price) > cap):
                return SCORE_REJECTED
        cost = prices.calculate_cost([self._expected_time_secs] * len(prices.usage_vector))
        return SCORE_TRUSTED / (cost + 1.01)

    def _settings(self) -> "Optional[Settings]":
        caps = self._caps()
        own = set(self._max_price_for) - {Counter.CPU.value, Counter.TIME.value}
        if type(self) is not LeastExpensiveLinearPayuMS or own or self._expected_time_secs != _DEFAULT_EXPECTED_SECS:
            return None
        return caps

    def _caps(self) -> "Settings":
        settings: "Settings" = {}
        cpu, time = (self._max_price_for.get(counter.value) for counter in (Counter.CPU, Counter.TIME))
        if self._max_fixed_price.is_finite():
            settings["max_start"] = _text(self._max_fixed_price)
        if cpu is not None and cpu.is_finite():
            settings["max_cpu_per_hour"] = _text(cpu * _HOUR)
        if time is not None and time.is_finite():
            settings["max_duration_per_hour"] = _text(time * _HOUR)
        if cpu is not None and time is not None:
            settings["max_per_hour"] = "1000000"
        return settings


def _exact(price: float) -> Decimal:
    """Return a price as its provider wrote it."""
    return Decimal(repr(price))


def _text(amount: Decimal) -> str:
    return f"{amount:f}"
