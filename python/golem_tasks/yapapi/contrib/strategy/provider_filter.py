"""A strategy that leaves out providers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Awaitable, Callable, Union

from golem_tasks.yapapi.strategy.base import SCORE_REJECTED, BaseMarketStrategy
from golem_tasks.yapapi.strategy.wrapping_strategy import WrappingMarketStrategy

if TYPE_CHECKING:
    from golem_tasks.yapapi.rest.market import OfferProposal

__all__ = ["ProviderFilter"]


class ProviderFilter(WrappingMarketStrategy):
    """Rejects offers of providers that ``is_allowed`` says no to.

    It is called with the provider's id, again before each agreement, so its answer may change. It may be a coroutine function.
    """

    def __init__(
        self,
        base_strategy: BaseMarketStrategy,
        is_allowed: Union[Callable[[str], bool], Callable[[str], Awaitable[bool]]],
    ) -> None:
        super().__init__(base_strategy)
        if not callable(is_allowed):
            raise TypeError(f"`is_allowed` is of the type `{type(is_allowed).__name__}`. Give a function of a provider's id.")
        self._is_allowed = is_allowed

    async def score_offer(self, offer: "OfferProposal", history: Any = None) -> float:
        """Return the base strategy's score for providers that are allowed, -1 for others."""
        answer = self._is_allowed(offer.issuer)
        allowed = await answer if hasattr(answer, "__await__") else answer
        return await self.base_strategy.score_offer(offer) if allowed else SCORE_REJECTED
