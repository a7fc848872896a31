"""The strategy that takes any offer that is cheap enough."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Mapping, Optional, Union

from golem_tasks.yapapi.props.com import Counter
from golem_tasks.yapapi.strategy.base import SCORE_NEUTRAL, SCORE_REJECTED
from golem_tasks.yapapi.strategy.least_expensive import LeastExpensiveLinearPayuMS

if TYPE_CHECKING:
    from golem_tasks.yapapi.rest.market import OfferProposal

__all__ = ["DummyMS"]

_CAPS: Mapping[Union[Counter, str], Decimal] = {Counter.TIME: Decimal("0.002"), Counter.CPU: Decimal("0.02")}


class DummyMS(LeastExpensiveLinearPayuMS):
    """Takes any offer with linear prices below its caps. All of them have the same score."""

    def __init__(
        self,
        max_fixed_price: Decimal = Decimal("0.05"),
        max_price_for: Optional[Mapping[Union[Counter, str], Decimal]] = None,
    ) -> None:
        super().__init__(max_fixed_price=max_fixed_price, max_price_for={**_CAPS, **(max_price_for or {})})

    async def score_offer(self, offer: "OfferProposal", history: Any = None) -> float:
        """Return zero for an offer below the caps, -1 for others."""
        return SCORE_NEUTRAL if await super().score_offer(offer) >= 0 else SCORE_REJECTED
