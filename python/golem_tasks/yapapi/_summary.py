"""The summary of what happens, in the log."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from decimal import Decimal
from typing import Any, Callable, Dict, Optional, Set

from golem_tasks.yapapi import events
from golem_tasks.yapapi.rest.activity import CommandExecutionError

#: Seconds between two lines that count providers.
_EVERY = 3.0
#: The most characters of a task's data in a line.
_DATA_LENGTH = 200

_COMMA = ", "


def pluralize(num: int, thing: str) -> str:
    """Return a number and the thing that is counted: ``1 task``, ``2 tasks``."""
    return f"{num} {thing}" if num == 1 else f"{num} {thing}s"


def str_capped(object: Any, max_len: int) -> str:
    """Return the text of an object, of at most ``max_len`` characters."""
    text = str(object)
    return text if len(text) <= max_len else f"{text[: max(max_len - 3, 0)]}..."


class SummaryLogger:
    """Logs a summary of events, for people. Whatever goes wrong in it is logged, and ends nothing."""

    GOLEM_SHUTDOWN_SUCCESSFUL_MESSAGE = "Golem engine has shut down"

    logger = logging.getLogger("yapapi.summary")

    def __init__(self, wrapped_emitter: Optional[Callable[[events.Event], Any]] = None) -> None:
        self._wrapped = wrapped_emitter
        self._providers: Set[str] = set()
        self._counted = 0.0
        self._told = 0
        self._agreements: Dict[str, Dict[str, str]] = defaultdict(dict)
        self._done: Dict[str, "Counter[str]"] = defaultdict(Counter)
        self._failed: Dict[str, "Counter[str]"] = defaultdict(Counter)
        self._started: Dict[str, float] = {}
        self._costs: Dict[Optional[str], Decimal] = {}
        self.shutdown_complete = False

    def log(self, event: events.Event) -> None:
        """Take an event."""
        try:
            handler = getattr(self, f"_on_{type(event).__name__}", None)
            if handler is not None:
                handler(event)
        except Exception:
            self.logger.exception("The summary failed on %r.", event)
        if self._wrapped is not None:
            self._wrapped(event)

    def _say(self, event: events.JobEvent, level: int, text: str, *args: Any) -> None:
        self.logger.log(level, f"[Job {event.job_id}] {text}", *args)

    # ---- the market ----

    def _on_ProposalConfirmed(self, event: events.ProposalConfirmed) -> None:  # noqa: N802
        self._providers.add(event.provider_id)
        now = time.monotonic()
        if now - self._counted >= _EVERY and len(self._providers) > self._told:
            self._counted, self._told = now, len(self._providers)
            self._say(event, logging.INFO, "Received proposals from %s so far", pluralize(self._told, "provider"))

    def _on_ProposalRejected(self, event: events.ProposalRejected) -> None:  # noqa: N802
        self._say(event, logging.DEBUG, "Offer of %s rejected: %s", event.proposal.provider_name, event.reason)

    def _on_NoProposalsConfirmed(self, event: events.NoProposalsConfirmed) -> None:  # noqa: N802
        waited = f"{event.timeout.total_seconds():.0f} s"
        refused = {**event.explanation.get("refused_by_us", {}), **event.explanation.get("refused_by_them", {})}
        reasons = _COMMA.join(f"{reason} ({count})" for reason, count in refused.items())
        if event.num_offers == 0:
            text = "No offers have been collected from the market for %s. Check the subnet and the payload's needs."
            self._say(event, logging.WARNING, text, waited)
        else:
            text = "%s collected, and nothing has run for %s%s"
            why = f"; refused: {reasons}" if reasons else ""
            self._say(event, logging.WARNING, text, pluralize(event.num_offers, "offer"), waited, why)

    def _on_CollectFailed(self, event: events.CollectFailed) -> None:  # noqa: N802
        self._say(event, logging.WARNING, "The engine %s. It tries again.", event.reason)

    _on_SubscriptionFailed = _on_CollectFailed

    # ---- agreements and machines ----

    def _on_AgreementCreated(self, event: events.AgreementCreated) -> None:  # noqa: N802
        self._say(event, logging.INFO, "Agreement proposed to provider '%s' (%s)", event.provider_name, event.agr_id)

    def _on_AgreementConfirmed(self, event: events.AgreementConfirmed) -> None:  # noqa: N802
        self._agreements[event.job_id][str(event.agr_id)] = event.provider_name
        self._say(event, logging.INFO, "Agreement confirmed by provider '%s'", event.provider_name)

    def _on_AgreementRejected(self, event: events.AgreementRejected) -> None:  # noqa: N802
        self._say(event, logging.WARNING, "No agreement with provider '%s': %s", event.provider_name, event.reason)

    def _on_AgreementTerminated(self, event: events.AgreementTerminated) -> None:  # noqa: N802
        code = event.reason.get("golem.requestor.code") or event.reason.get("code")
        level = logging.DEBUG if code == "Success" else logging.INFO
        self._say(event, level, "Terminated agreement with %s: %s", event.provider_name, event.reason.get("message"))

    def _on_WorkerStarted(self, event: events.WorkerStarted) -> None:  # noqa: N802
        self._say(event, logging.DEBUG, "Worker started for provider '%s'", event.provider_name)

    def _on_WorkerFinished(self, event: events.WorkerFinished) -> None:  # noqa: N802
        if event.exception is None:
            self._say(event, logging.DEBUG, "Worker finished for provider '%s'", event.provider_name)
            return
        self._failed[event.job_id][event.provider_name] += 1
        what = "Activity failed on" if isinstance(event.exception, CommandExecutionError) else "Worker failed for"
        self._say(event, logging.WARNING, f"{what} provider '%s', reason: %s", event.provider_name, event.exception)

    def _on_ActivityCreateFailed(self, event: events.ActivityCreateFailed) -> None:  # noqa: N802
        self._failed[event.job_id][event.provider_name] += 1
        self._say(event, logging.WARNING, "No activity on provider '%s', reason: %s", event.provider_name, event.exception)

    # ---- tasks and scripts ----

    def _on_TaskStarted(self, event: events.TaskStarted) -> None:  # noqa: N802
        data = str_capped(event.task_data, _DATA_LENGTH)
        self._say(event, logging.INFO, "Task started on provider '%s', task data: %s", event.provider_name, data)

    def _on_TaskAccepted(self, event: events.TaskAccepted) -> None:  # noqa: N802
        self._done[event.job_id][event.provider_name] += 1
        data = str_capped(event.task_data, _DATA_LENGTH)
        self._say(event, logging.INFO, "Task finished by provider '%s', task data: %s", event.provider_name, data)

    def _on_TaskRejected(self, event: events.TaskRejected) -> None:  # noqa: N802
        data = str_capped(event.task_data, _DATA_LENGTH)
        text = "Result of provider '%s' rejected, task data: %s, reason: %s"
        self._say(event, logging.WARNING, text, event.provider_name, data, event.reason)

    def _on_ScriptSent(self, event: events.ScriptSent) -> None:  # noqa: N802
        text = "Script '%s' sent to provider '%s', cmds: %s"
        self._say(event, logging.DEBUG, text, event.script_id, event.provider_name, str_capped(_COMMA.join(event.cmds), 200))

    def _on_ScriptFinished(self, event: events.ScriptFinished) -> None:  # noqa: N802
        self._say(event, logging.DEBUG, "Script '%s' finished on provider '%s'", event.script_id, event.provider_name)

    # ---- bills ----

    def _on_InvoiceAccepted(self, event: events.InvoiceAccepted) -> None:  # noqa: N802
        self._costs[event.agr_id] = event.amount
        self._say(event, logging.INFO, "Accepted invoice from '%s', amount: %s", event.provider_name, event.amount)

    def _on_PaymentFailed(self, event: events.PaymentFailed) -> None:  # noqa: N802
        text = "A bill of '%s' wasn't accepted, reason: %s"
        self._say(event, logging.ERROR, text, event.provider_name, event.exception)

    # ---- jobs and the end ----

    def _on_JobStarted(self, event: events.JobStarted) -> None:  # noqa: N802
        self._started[event.job_id] = time.monotonic()
        if self._costs:
            self._say(event, logging.INFO, "The cost so far: %s", self._total())

    def _on_JobFinished(self, event: events.JobFinished) -> None:  # noqa: N802
        took = time.monotonic() - self._started.get(event.job_id, time.monotonic())
        error = event.exception
        if error is None:
            self._say(event, logging.INFO, "Job finished in %.1fs", took)
        elif type(error).__name__ in ("CancelledError", "KeyboardInterrupt"):
            self._say(event, logging.WARNING, "Job cancelled")
        else:
            self._say(event, logging.ERROR, "Job failed, reason: %s", error)
        agreements, done = self._agreements[event.job_id], self._done[event.job_id]
        names = set(agreements.values())
        text = "Negotiated %s with %s"
        self._say(event, logging.INFO, text, pluralize(len(agreements), "agreement"), pluralize(len(names), "provider"))
        for name, count in done.items():
            self._say(event, logging.INFO, "Provider '%s' computed %s", name, pluralize(count, "task"))
        for name in sorted(names - set(done)):
            self._say(event, logging.INFO, "Provider '%s' did not compute any tasks", name)
        for name, count in self._failed[event.job_id].items():
            self._say(event, logging.INFO, "Activity failed %s on provider '%s'", pluralize(count, "time"), name)

    def _on_ExecutionInterrupted(self, event: events.ExecutionInterrupted) -> None:  # noqa: N802
        self.logger.warning("Execution interrupted by %s", type(event.exception).__name__)

    def _on_ShutdownFinished(self, event: events.ShutdownFinished) -> None:  # noqa: N802
        self.logger.info("Total cost: %s", self._total())
        if event.exception is None:
            self.logger.info(self.GOLEM_SHUTDOWN_SUCCESSFUL_MESSAGE)
        else:
            self.logger.error("Error when shutting down Golem engine: %s", event.exception)
        self.shutdown_complete = True

    def _total(self) -> Decimal:
        return sum(self._costs.values(), Decimal(0))
