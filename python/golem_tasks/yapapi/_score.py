"""The way in which the engine asks a strategy of yapapi about an offer."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import time
from typing import TYPE_CHECKING, Any, Dict, Optional, Set, Tuple, Union

from golem_tasks.yapapi.rest.market import OfferProposal

if TYPE_CHECKING:
    from golem_tasks._native import Candidate
    from golem_tasks.yapapi.strategy.base import BaseMarketStrategy

logger = logging.getLogger("yapapi.strategy")

#: Seconds that a strategy which waits may take to score an offer.
_PATIENCE = 2.0
#: Seconds for which the score of a strategy that waits is kept.
_KEPT = 60.0


class ComputationHistory:
    """The known facts about providers, for strategies of 0.5 whose ``score_offer`` takes it."""

    def __init__(self) -> None:
        self._not_approved: Dict[str, bool] = {}

    def rejected_last_agreement(self, issuer_id: str) -> bool:
        """Return whether the provider has left an agreement unapproved in this run."""
        return self._not_approved.get(issuer_id, False)

    def note(self, candidate: "Candidate") -> None:
        """Remember what the engine knows of the provider of an offer."""
        self._not_approved[candidate["id"]] = candidate["not_approved"] > 0


class Scorer:
    """Scores offers by a strategy. It is called in a thread of the engine.

    A ``score_offer`` that never waits is run on the spot. One that waits is run on the program's event loop, and its score is kept for a
    minute.
    """

    def __init__(self, strategy: "BaseMarketStrategy", loop: asyncio.AbstractEventLoop) -> None:
        self._strategy = strategy
        self._loop = loop
        self._waits = False
        self._kept: Dict[str, Tuple[float, float]] = {}
        self._told: Set[str] = set()
        self._history = ComputationHistory()
        self._more: Tuple[Any, ...] = (self._history,) if _takes_history(strategy) else ()

    def __call__(self, candidate: "Candidate") -> Union[float, str, None]:
        """Return the score of an offer, or the reason to refuse it."""
        self._history.note(candidate)
        offer = OfferProposal(candidate["id"], candidate["properties"], candidate["name"])
        try:
            score = self._score(offer)
        except Exception as error:
            if offer.issuer not in self._told:
                self._told.add(offer.issuer)
                logger.warning("The strategy failed on the offer of %s, which is rejected.", offer.provider_name, exc_info=error)
            return "The strategy failed on this offer"
        if not isinstance(score, (int, float)) or math.isnan(score):
            return "The strategy gave no score"
        return "Score too low" if score < 0 else float(score)

    def _score(self, offer: OfferProposal) -> Any:
        if not self._waits:
            try:
                return self._at_once(offer)
            except _ItWaits:
                self._waits = True
                logger.warning(
                    "The strategy %s waits while it scores an offer, which holds the engine up. Its scores are kept for %d s.",
                    type(self._strategy).__name__,
                    _KEPT,
                )
        return self._on_loop(offer)

    def _at_once(self, offer: OfferProposal) -> Any:
        answer: Any = self._strategy.score_offer(offer, *self._more)
        if not hasattr(answer, "send"):
            return answer
        try:
            answer.send(None)
        except StopIteration as done:
            return done.value
        except RuntimeError as error:
            if "event loop" in str(error):
                raise _ItWaits from error
            raise
        answer.close()
        raise _ItWaits

    def _on_loop(self, offer: OfferProposal) -> Optional[float]:
        kept = self._kept.get(offer.issuer)
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        future = asyncio.run_coroutine_threadsafe(self._strategy.score_offer(offer, *self._more), self._loop)
        try:
            score = future.result(_PATIENCE)
        except BaseException:
            future.cancel()
            raise
        self._kept[offer.issuer] = (time.monotonic() + _KEPT, score)
        return score


def _takes_history(strategy: "BaseMarketStrategy") -> bool:
    """Return whether the strategy is one of 0.5, whose ``score_offer`` needs the history of providers as well."""
    parameters = list(inspect.signature(strategy.score_offer).parameters.values())
    return len(parameters) > 1 and parameters[1].kind is parameters[1].POSITIONAL_OR_KEYWORD and parameters[1].name != "self"


class _ItWaits(Exception):
    """The strategy waits for something."""
