"""The translation of the engine's events into yapapi's.

Events of tasks, scripts and commands are told of where they happen, in :mod:`golem_tasks.yapapi._work`; here is the rest: the market,
agreements, machines and bills.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from golem_tasks.yapapi import events
from golem_tasks.yapapi._work import ClosedTasks
from golem_tasks.yapapi.engine import Job
from golem_tasks.yapapi.rest.activity import Activity, BatchError
from golem_tasks.yapapi.rest.market import Agreement, OfferProposal, Subscription
from golem_tasks.yapapi.rest.payment import DebitNote, Invoice

Fields = Dict[str, Any]

#: Seconds that a worker waits for the events of what came before it, and between two looks.
_PATIENCE, _PAUSE = 0.5, 0.002


@dataclass
class _Rental:
    """The known facts of a rental."""

    agreement: Agreement
    job: Job
    activity: Optional[Activity] = None


@dataclass
class Translator:
    """Turns the events of one executor of the engine into yapapi's, and hands them to ``emit``."""

    emit: Callable[[events.Event], None]
    #: The jobs in the order in which they were handed in, which is how the engine counts them.
    jobs: List[Job] = field(default_factory=list)
    #: Stands for the job of what happens before the first.
    nobody: Job = field(default_factory=lambda: Job("0", None, None))
    _rentals: Dict[int, _Rental] = field(default_factory=dict)
    _demand: Optional[Subscription] = None
    #: Activities that were told of as created, and as ready.
    _created: Set[str] = field(default_factory=set)
    _begun: Set[str] = field(default_factory=set)

    def __call__(self, kind: str, fields: Fields) -> None:
        """Take an event of the engine."""
        handler = getattr(self, f"_on_{kind}", None)
        if handler is not None:
            handler(fields)

    def _job(self) -> Job:
        return self.jobs[-1] if self.jobs else self.nobody

    def _tell(self, kind: Any, fields: Fields, **about: Any) -> None:
        self.emit(kind(timestamp=moment(fields.get("at")), **about))

    # ---- the market ----

    def _on_demand_published(self, fields: Fields) -> None:
        self._demand = Subscription(str(fields["demand"]))
        self._tell(events.SubscriptionCreated, fields, job=self._job(), subscription=self._demand)

    def _on_trouble(self, fields: Fields) -> None:
        doing, problem = str(fields["doing"]), str(fields["problem"])
        kind = events.SubscriptionFailed if doing == "publish the demand" else events.CollectFailed
        self._tell(kind, fields, job=self._job(), reason=f"could not {doing}: {problem}")

    def _on_offer_received(self, fields: Fields) -> None:
        self._job().offers_collected += 1
        about = self._offer(fields)
        self._tell(events.ProposalReceived, fields, **about)
        self._tell(events.ProposalResponded, fields, **about)

    def _on_offer_refused(self, fields: Fields) -> None:
        self._tell(events.ProposalRejected, fields, reason=str(fields["reason"]), **self._offer(fields))

    def _on_refused_by_provider(self, fields: Fields) -> None:
        self._tell(events.ProposalRejected, fields, reason=_words(fields.get("reason")), **self._offer(fields))

    def _on_terms_agreed(self, fields: Fields) -> None:
        self._job().proposals_confirmed += 1
        self._tell(events.ProposalConfirmed, fields, **self._offer(fields))

    def _on_waiting(self, fields: Fields) -> None:
        why = fields.get("explanation") or {}
        waited = timedelta(seconds=seconds(why.get("waited")))
        offers = int(why.get("offers") or 0)
        self._tell(events.NoProposalsConfirmed, fields, job=self._job(), timeout=waited, num_offers=offers, explanation=why)

    def _offer(self, fields: Fields) -> Fields:
        provider_id, name = _provider(fields)
        return {"job": self._job(), "proposal": OfferProposal(provider_id, {"golem.node.id.name": name}, name)}

    # ---- agreements and activities ----

    def _on_agreement_intended(self, fields: Fields) -> None:
        self._rentals[fields["rental"]] = _Rental(Agreement(*_provider(fields)), self._job())

    def _rental(self, fields: Fields) -> _Rental:
        number = fields.get("rental")
        if number is None or number not in self._rentals:
            return _Rental(Agreement("", "an unknown provider"), self._job())
        return self._rentals[number]

    def _about(self, rental: _Rental) -> Fields:
        return {"job": rental.job, "agreement": rental.agreement}

    def _on_agreement_created(self, fields: Fields) -> None:
        rental = self._rental(fields)
        rental.agreement._id = str(fields["agreement"])
        self._tell(events.AgreementCreated, fields, **self._about(rental))

    def _on_agreement_approved(self, fields: Fields) -> None:
        rental = self._rental(fields)
        rental.agreement._id = str(fields["agreement"])
        self._tell(events.AgreementConfirmed, fields, **self._about(rental))

    def _on_agreement_failed(self, fields: Fields) -> None:
        rental = self._rental(fields)
        self._tell(events.AgreementRejected, fields, reason=str(fields.get("reason")), **self._about(rental))

    def _on_agreement_ended(self, fields: Fields) -> None:
        rental = self._rental(fields)
        rental.agreement._terminated = True
        given = fields.get("reason")
        reason: Fields = dict(given) if isinstance(given, dict) else {"message": str(given)}
        reason.setdefault("message", "")
        self._tell(events.AgreementTerminated, fields, reason=reason, by=str(fields.get("by")), **self._about(rental))

    def _on_activity_intended(self, fields: Fields) -> None:
        rental = self._rental(fields)
        number = int(fields.get("job") or 0)
        if number < len(self.jobs):
            rental.job = self.jobs[number]
        rental.activity = None

    def _on_activity_created(self, fields: Fields) -> None:
        rental = self._rental(fields)
        rental.activity = Activity(str(fields["activity"]))
        if rental.activity.id not in self._created:
            self._tell(events.ActivityCreated, fields, activity=rental.activity, **self._about(rental))
            self._created.add(rental.activity.id)

    def _on_activity_ready(self, fields: Fields) -> None:
        rental = self._rental(fields)
        if rental.activity is None or rental.activity.id not in self._begun:
            self._tell(events.WorkerStarted, fields, activity=rental.activity, **self._about(rental))
            if rental.activity is not None:
                self._begun.add(rental.activity.id)

    def _on_activity_ended(self, fields: Fields) -> None:
        rental = self._rental(fields)
        failure = fields.get("failure")
        about = self._about(rental)
        if failure and ClosedTasks.WORDS not in str(failure):
            about["exc_info"] = events._error(BatchError(str(failure)))
        if rental.activity is None:
            if failure:
                self._tell(events.ActivityCreateFailed, fields, **about)
            return
        self._tell(events.WorkerFinished, fields, activity=rental.activity, **about)

    async def begin(self, job: Job, agreement: Agreement, activity: Activity) -> None:
        """Tell of an activity whose worker is called now, after all that the engine tells of before."""
        patience = _PATIENCE
        while activity.id not in self._created and patience > 0:
            await asyncio.sleep(_PAUSE)
            patience -= _PAUSE
        about: Fields = {"job": job, "agreement": agreement, "activity": activity}
        if activity.id not in self._created:
            self._created.add(activity.id)
            self._tell(events.ActivityCreated, {}, **about)
        if activity.id not in self._begun:
            self._begun.add(activity.id)
            self._tell(events.WorkerStarted, {}, **about)

    # ---- bills ----

    def _on_bill_received(self, fields: Fields) -> None:
        self._bill(fields, events.DebitNoteReceived, events.InvoiceReceived)

    def _on_bill_accepted(self, fields: Fields) -> None:
        self._bill(fields, events.DebitNoteAccepted, events.InvoiceAccepted)

    def _bill(self, fields: Fields, note: Any, invoice: Any) -> None:
        rental = self._rental(fields)
        bill_id, is_invoice = _bill_id(fields.get("bill"))
        amount = Decimal(str(fields.get("amount") or 0))
        if is_invoice:
            bill: Fields = {"invoice": Invoice(bill_id, amount, rental.agreement.id)}
        else:
            bill = {"debit_note": DebitNote(bill_id, amount, rental.agreement.id)}
        self._tell(invoice if is_invoice else note, fields, **bill, **self._about(rental))

    def _on_bill_refused(self, fields: Fields) -> None:
        problem = events._error(ValueError(f"The bill was refused: {fields.get('reason')}."))
        self._tell(events.PaymentFailed, fields, exc_info=problem, **self._about(self._rental(fields)))

    def _on_bill_missing(self, fields: Fields) -> None:
        problem = events._error(TimeoutError("The last bill of the agreement hasn't come in time."))
        self._tell(events.PaymentFailed, fields, exc_info=problem, **self._about(self._rental(fields)))


def moment(at: Any) -> datetime:
    """Read the time of an event: seconds since 1970, or RFC 3339."""
    if isinstance(at, (int, float)):
        return datetime.fromtimestamp(at, timezone.utc)
    if isinstance(at, str):
        try:
            return datetime.fromisoformat(at.replace("Z", "+00:00"))
        except ValueError:  # More digits than this Python reads.
            return datetime.now(timezone.utc)
    return datetime.now(timezone.utc)


def seconds(duration: Any) -> float:
    """Read a duration: seconds, or seconds and nanoseconds apart."""
    if isinstance(duration, dict):
        return float(duration.get("secs", 0)) + float(duration.get("nanos", 0)) / 1e9
    return float(duration or 0)


def _provider(fields: Fields) -> Tuple[str, str]:
    provider = fields.get("provider") or {}
    return str(provider.get("id", "")), str(provider.get("name", ""))


def _words(reason: Any) -> Optional[str]:
    if isinstance(reason, dict):
        return str(reason.get("message", reason))
    return None if reason is None else str(reason)


def _bill_id(bill: Any) -> Tuple[str, bool]:
    """Return the id of a bill, and whether it is an invoice."""
    if isinstance(bill, dict):
        for kind in ("invoice", "Invoice"):
            if kind in bill:
                return str(bill[kind]), True
        return str(next(iter(bill.values()), "")), False
    return str(bill), True
