"""Strategies, under the name that yapapi 0.5 has for them."""

from __future__ import annotations

from golem_tasks.yapapi._score import ComputationHistory
from golem_tasks.yapapi.strategy import (
    SCORE_NEUTRAL,
    SCORE_REJECTED,
    SCORE_TRUSTED,
    DecreaseScoreForUnconfirmedAgreement,
    DummyMS,
    LeastExpensiveLinearPayuMS,
    MarketStrategy,
)

__all__ = [
    "ComputationHistory",
    "DecreaseScoreForUnconfirmedAgreement",
    "DummyMS",
    "LeastExpensiveLinearPayuMS",
    "MarketStrategy",
    "SCORE_NEUTRAL",
    "SCORE_REJECTED",
    "SCORE_TRUSTED",
]
