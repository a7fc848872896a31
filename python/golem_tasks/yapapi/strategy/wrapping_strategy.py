"""Strategies around other strategies."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

from golem_tasks.yapapi.props.builder import DemandBuilder
from golem_tasks.yapapi.strategy.base import BaseMarketStrategy

if TYPE_CHECKING:
    from golem_tasks.yapapi.rest.market import OfferProposal

__all__ = ["WrappingMarketStrategy"]


class WrappingMarketStrategy(BaseMarketStrategy, abc.ABC):
    """A strategy that asks another one; what isn't changed here is as there."""

    def __init__(self, base_strategy: BaseMarketStrategy) -> None:
        if not isinstance(base_strategy, BaseMarketStrategy):
            raise TypeError(f"The base strategy is of the type `{type(base_strategy).__name__}`. Give a `MarketStrategy`.")
        self.base_strategy = base_strategy

    async def decorate_demand(self, demand: DemandBuilder) -> None:
        """Add what the base strategy adds."""
        await self.base_strategy.decorate_demand(demand)

    async def score_offer(self, offer: "OfferProposal", history: Any = None) -> float:
        """Return the base strategy's score."""
        return await self.base_strategy.score_offer(offer)

    def __getattr__(self, name: str) -> Any:
        if name == "base_strategy":  # Not there before `__init__`.
            raise AttributeError(name)
        return getattr(self.base_strategy, name)
