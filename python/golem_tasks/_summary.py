"""The summary of a program, for people."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from ._money import added


@dataclass
class ProviderSummary:
    """The work of one provider."""

    name: str
    tasks: int = 0
    failures: int = 0
    cost: Decimal = Decimal(0)
    """GLM accepted."""
    time: timedelta = timedelta()
    """The time of its finished tasks."""


@dataclass
class Summary:
    """The results and their cost. It grows while the work goes on."""

    done: int = 0
    failed: int = 0
    cost: Decimal = Decimal(0)
    """GLM accepted in all."""
    unsettled: int = 0
    """Rentals whose last bill hasn't come; known at the end."""
    is_over: bool = False
    providers: dict[str, ProviderSummary] = field(default_factory=dict)
    """By node id."""

    def __str__(self) -> str:
        text = f"{self.done} done, {self.failed} failed, {self.cost:f} GLM"
        if self.unsettled:
            text += f"; {self.unsettled} bills haven't come"
        return text

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(each.name)}</td><td>{each.tasks}</td><td>{each.failures}</td>"
            f"<td>{each.time.total_seconds():.1f} s</td><td>{each.cost:f}</td></tr>"
            for each in sorted(self.providers.values(), key=lambda each: -each.tasks)
        )
        return (
            f"<p>{html.escape(str(self))}</p><table><thead><tr><th>provider</th><th>done</th><th>failed attempts</th><th>busy</th>"
            f"<th>GLM</th></tr></thead><tbody>{rows}</tbody></table>"
        )


class Tally:
    """Makes a summary of the engine's events."""

    KINDS = ["agreement_intended", "task_started", "task_done", "attempt_failed", "task_failed", "bill_accepted"]

    def __init__(self) -> None:
        self.summary = Summary()
        self._prices: dict[str, Decimal] = {}
        self._rentals: dict[int, ProviderSummary] = {}

    def price(self, provider_id: str) -> Decimal:
        """GLM an hour of this provider at full use."""
        return self._prices.get(provider_id, Decimal(0))

    def on_event(self, kind: str, event: dict[str, Any]) -> None:
        """Takes an event in."""
        summary = self.summary
        if kind == "agreement_intended":
            provider = event["provider"]
            self._prices[provider["id"]] = Decimal(event["per_hour"])
            self._rentals[event["rental"]] = summary.providers.setdefault(provider["id"], ProviderSummary(provider["name"]))
        elif kind == "task_done":
            summary.done += 1
            if rental := self._rentals.get(event.get("rental", -1)):
                rental.tasks += 1
                rental.time += took(event)
        elif kind == "attempt_failed":
            if rental := self._rentals.get(event.get("rental", -1)):
                rental.failures += 1
        elif kind == "task_failed":
            summary.failed += 1
            if rental := self._rentals.get(event.get("rental") or -1):
                rental.failures += 1
        elif kind == "bill_accepted":
            amount = Decimal(event["amount"])
            summary.cost = added(summary.cost, amount)
            if rental := self._rentals.get(event["rental"]):
                rental.cost = added(rental.cost, amount)


def took(event: dict[str, Any]) -> timedelta:
    """The time that a task took."""
    time = event.get("took")
    if isinstance(time, dict):
        return timedelta(seconds=time.get("secs", 0) + time.get("nanos", 0) / 1e9)
    return timedelta(seconds=time if isinstance(time, (int, float)) else 0)
