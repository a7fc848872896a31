"""Strategies: which offers are taken, and which of them first."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Mapping, Optional

from golem_tasks.yapapi._absent import refuse
from golem_tasks.yapapi.props.builder import DemandBuilder, DemandDecorator

if TYPE_CHECKING:
    from golem_tasks._native import Settings
    from golem_tasks.yapapi.rest.market import OfferProposal

__all__ = [
    "BaseMarketStrategy",
    "MarketStrategy",
    "PROP_DEBIT_NOTE_ACCEPTANCE_TIMEOUT",
    "PROP_DEBIT_NOTE_INTERVAL_SEC",
    "PROP_PAYMENT_TIMEOUT_SEC",
    "PropValueRange",
    "SCORE_NEUTRAL",
    "SCORE_REJECTED",
    "SCORE_TRUSTED",
]

#: The score of an offer that isn't taken; any score below zero is.
SCORE_REJECTED = -1.0
#: The score of an offer of which nothing is known.
SCORE_NEUTRAL = 0.0
#: The score of an offer of a provider that is trusted.
SCORE_TRUSTED = 100.0

PROP_DEBIT_NOTE_INTERVAL_SEC = "golem.com.scheme.payu.debit-note.interval-sec?"
PROP_PAYMENT_TIMEOUT_SEC = "golem.com.scheme.payu.payment-timeout-sec?"
PROP_DEBIT_NOTE_ACCEPTANCE_TIMEOUT = "golem.com.payment.debit-notes.accept-timeout?"

_BY_ENGINE = "The engine negotiates and checks bills itself, against use, terms and budget."


@dataclass
class PropValueRange:
    """A range of numbers; ``None`` means no bound."""

    min: Optional[float] = None
    max: Optional[float] = None

    def __contains__(self, item: float) -> bool:
        return (self.min is None or item >= self.min) and (self.max is None or item <= self.max)

    def clamp(self, item: float) -> float:
        """Return the number of the range that is nearest to ``item``. **Raises** :class:`ValueError` if the range is empty."""
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"The range from {self.min} to {self.max} is empty. Give a minimum below the maximum.")
        if self.min is not None and item < self.min:
            return self.min
        return self.max if self.max is not None and item > self.max else item


class BaseMarketStrategy(DemandDecorator, abc.ABC):
    """The interface of strategies. Derive yours from :class:`MarketStrategy`."""

    @abc.abstractmethod
    async def score_offer(self, offer: "OfferProposal") -> float:
        """Return the score of an offer: the higher the better, below zero to reject it.

        The strategy is asked when an offer comes and again before an agreement is signed, in a thread of the engine, and should not wait.
        Exceptions reject the offer. A strategy of 0.5 may have a second parameter, the history of providers.
        """

    async def decorate_demand(self, demand: DemandBuilder) -> None:
        """Add properties and constraints to the demand."""

    async def respond_to_provider_offer(self, our_demand: DemandBuilder, provider_offer: "OfferProposal") -> DemandBuilder:
        """Not available: the engine negotiates."""
        refuse("yapapi.strategy.BaseMarketStrategy.respond_to_provider_offer", _BY_ENGINE)

    async def invoice_accepted_amount(self, invoice: Any) -> Any:
        """Not available: the engine checks bills."""
        refuse("yapapi.strategy.BaseMarketStrategy.invoice_accepted_amount", _BY_ENGINE)

    async def debit_note_accepted_amount(self, debit_note: Any) -> Any:
        """Not available: the engine checks bills."""
        refuse("yapapi.strategy.BaseMarketStrategy.debit_note_accepted_amount", _BY_ENGINE)

    def _settings(self) -> "Optional[Settings]":
        """Return the settings of the engine by which it does what this strategy does; ``None`` if only the strategy itself can."""
        return None


class MarketStrategy(BaseMarketStrategy, abc.ABC):
    """The base of strategies."""

    #: Ranges for what is negotiated, by the property's name. Only a minimum for ``PROP_DEBIT_NOTE_ACCEPTANCE_TIMEOUT`` is heeded.
    acceptable_prop_value_range_overrides: ClassVar[Mapping[str, PropValueRange]] = {}

    @property
    def acceptable_prop_value_ranges(self) -> Dict[str, PropValueRange]:
        """The ranges that hold: those of the engine with the overrides."""
        ranges = {
            PROP_DEBIT_NOTE_INTERVAL_SEC: PropValueRange(60, None),
            PROP_PAYMENT_TIMEOUT_SEC: PropValueRange(18000, None),
            PROP_DEBIT_NOTE_ACCEPTANCE_TIMEOUT: PropValueRange(30, None),
        }
        ranges.update(self.acceptable_prop_value_range_overrides)
        return ranges
