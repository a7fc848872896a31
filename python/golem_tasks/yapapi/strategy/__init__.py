"""Strategies: which offers are taken, and which of them first."""

from __future__ import annotations

from golem_tasks.yapapi.strategy import base, decrease_score_unconfirmed, dummy, least_expensive, wrapping_strategy
from golem_tasks.yapapi.strategy.base import (
    PROP_DEBIT_NOTE_ACCEPTANCE_TIMEOUT,
    PROP_DEBIT_NOTE_INTERVAL_SEC,
    PROP_PAYMENT_TIMEOUT_SEC,
    SCORE_NEUTRAL,
    SCORE_REJECTED,
    SCORE_TRUSTED,
    BaseMarketStrategy,
    MarketStrategy,
    PropValueRange,
)
from golem_tasks.yapapi.strategy.decrease_score_unconfirmed import DecreaseScoreForUnconfirmedAgreement
from golem_tasks.yapapi.strategy.dummy import DummyMS
from golem_tasks.yapapi.strategy.least_expensive import LeastExpensiveLinearPayuMS
from golem_tasks.yapapi.strategy.wrapping_strategy import WrappingMarketStrategy

#: Seconds by which a debit note may come early.
DEBIT_NOTE_INTERVAL_GRACE_PERIOD = 30

__all__ = [
    "BaseMarketStrategy",
    "DEBIT_NOTE_INTERVAL_GRACE_PERIOD",
    "DecreaseScoreForUnconfirmedAgreement",
    "DummyMS",
    "LeastExpensiveLinearPayuMS",
    "MarketStrategy",
    "PROP_DEBIT_NOTE_ACCEPTANCE_TIMEOUT",
    "PROP_DEBIT_NOTE_INTERVAL_SEC",
    "PROP_PAYMENT_TIMEOUT_SEC",
    "PropValueRange",
    "SCORE_NEUTRAL",
    "SCORE_REJECTED",
    "SCORE_TRUSTED",
    "WrappingMarketStrategy",
    "base",
    "decrease_score_unconfirmed",
    "dummy",
    "least_expensive",
    "wrapping_strategy",
]
