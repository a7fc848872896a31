"""The strategy that puts back providers that didn't approve an agreement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Set

from golem_tasks.yapapi import events
from golem_tasks.yapapi.strategy.base import BaseMarketStrategy
from golem_tasks.yapapi.strategy.wrapping_strategy import WrappingMarketStrategy

if TYPE_CHECKING:
    from golem_tasks._native import Settings
    from golem_tasks.yapapi.rest.market import OfferProposal

__all__ = ["DecreaseScoreForUnconfirmedAgreement"]


class DecreaseScoreForUnconfirmedAgreement(WrappingMarketStrategy):
    """Multiplies the score of providers that didn't approve their last agreement by ``factor``.

    The engine puts back such providers, and those that failed, by itself. A ``Golem`` tells this strategy of events by itself.
    """

    def __init__(self, base_strategy: BaseMarketStrategy, factor: float) -> None:
        super().__init__(base_strategy)
        self.factor = factor
        self._rejecting_providers: Set[str] = set()

    def on_event(self, event: events.Event) -> None:
        """Note whether a provider approved or rejected an agreement."""
        if isinstance(event, events.AgreementConfirmed):
            self._rejecting_providers.discard(event.provider_id)
        elif isinstance(event, events.AgreementRejected):
            self._rejecting_providers.add(event.provider_id)

    async def score_offer(self, offer: "OfferProposal", history: Any = None) -> float:
        """Return the base strategy's score, multiplied where it is above zero and the provider rejected its last agreement."""
        score = await self.base_strategy.score_offer(offer)
        return score * self.factor if score > 0 and offer.issuer in self._rejecting_providers else score

    def _settings(self) -> "Optional[Settings]":
        return self.base_strategy._settings() if type(self) is DecreaseScoreForUnconfirmedAgreement else None
