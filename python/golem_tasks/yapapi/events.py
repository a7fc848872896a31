"""Events, under yapapi's names. Each has the time at which it happened and the things that it is about.

A consumer gets objects: ``event.job``, ``event.agreement``, ``event.activity``, ``event.task``, ``event.script``, .. and short ways to
their ids. Classes of your own, derived from these, can be emitted by :meth:`WorkContext.emit
<golem_tasks.yapapi.ctx.WorkContext.emit>`.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple, Type

if TYPE_CHECKING:
    from golem_tasks.yapapi._task import Task
    from golem_tasks.yapapi.engine import Job
    from golem_tasks.yapapi.props import NodeInfo
    from golem_tasks.yapapi.rest.activity import Activity
    from golem_tasks.yapapi.rest.market import Agreement, OfferProposal, Subscription
    from golem_tasks.yapapi.rest.payment import DebitNote, Invoice
    from golem_tasks.yapapi.script import Script
    from golem_tasks.yapapi.script.command import Command

ExcInfo = Tuple[Type[BaseException], BaseException, Optional[TracebackType]]

#: Fields that a representation leaves out.
_HIDDEN = ("exc_info", "timestamp")


class Event:
    """Something that happened."""

    #: The error with its traceback, where the event tells of one.
    exc_info: Optional[ExcInfo] = None
    #: The time at which it happened.
    timestamp: datetime

    def __init__(self, **fields: Any) -> None:
        fields.setdefault("timestamp", datetime.now(timezone.utc))
        self.__dict__.update(fields)

    @property
    def exception(self) -> Optional[BaseException]:
        """The error that the event tells of."""
        return self.exc_info[1] if self.exc_info else None

    def extract_exc_info(self) -> Tuple[Optional[ExcInfo], "Event"]:
        """Return the error and this event."""
        return self.exc_info, self

    def __repr__(self) -> str:
        fields = [f"{name}={value!r}" for name, value in self.__dict__.items() if name not in _HIDDEN]
        if self.exception is not None:
            fields.append(f"exception={self.exception!r}")
        return f"{type(self).__name__}({', '.join(fields)})"


def _error(exception: Optional[BaseException]) -> Optional[ExcInfo]:
    return None if exception is None else (type(exception), exception, exception.__traceback__)


class JobEvent(Event):
    """An event of a job."""

    job: "Job"

    @property
    def job_id(self) -> str:
        """The id of the job."""
        return self.job.id


class JobStarted(JobEvent):
    """A job was handed in."""


class JobFinished(JobEvent):
    """A job is over; with an error if tasks have no result."""


class SubscriptionEvent(JobEvent):
    """An event of a demand."""

    subscription: "Subscription"

    @property
    def sub_id(self) -> str:
        """The id of the demand."""
        return self.subscription.id


class SubscriptionCreated(SubscriptionEvent):
    """A demand is on the market."""


class SubscriptionFailed(JobEvent):
    """A demand couldn't be published; it will be tried again."""

    reason: str


class CollectFailed(JobEvent):
    """Something couldn't be asked of the daemon just now; it will be tried again."""

    reason: str


class ProposalEvent(JobEvent):
    """An event of an offer."""

    proposal: "OfferProposal"

    @property
    def prop_id(self) -> str:
        """The id of the offer, which is its provider's."""
        return self.proposal.id

    @property
    def provider_id(self) -> str:
        """The id of the provider."""
        return self.proposal.issuer


class ProposalReceived(ProposalEvent):
    """An offer fits."""


class ProposalRejected(ProposalEvent):
    """We refused an offer, or a provider refused our terms."""

    reason: Optional[str] = None


class ProposalResponded(ProposalEvent):
    """An offer is being answered."""


class ProposalConfirmed(ProposalEvent):
    """A provider agreed to our terms."""


class ProposalFailed(ProposalEvent):
    """An offer couldn't be answered."""


class NoProposalsConfirmed(JobEvent):
    """Tasks wait and nothing runs."""

    timeout: timedelta
    num_offers: int
    #: The reasons, counted, as the engine has them.
    explanation: Dict[str, Any]


class AgreementEvent(JobEvent):
    """An event of an agreement."""

    agreement: "Agreement"

    @property
    def agr_id(self) -> Optional[str]:
        """The id of the agreement."""
        return self.agreement.id

    @property
    def provider_id(self) -> str:
        """The id of the provider."""
        return self.agreement.provider_id

    @property
    def provider_info(self) -> "NodeInfo":
        """The provider's name."""
        return self.agreement.details.provider_node_info

    @property
    def provider_name(self) -> str:
        """The provider's name for itself."""
        return self.agreement.provider_name


class AgreementCreated(AgreementEvent):
    """An agreement was proposed to a provider."""


class AgreementConfirmed(AgreementEvent):
    """The provider approved the agreement."""


class AgreementRejected(AgreementEvent):
    """There will be no agreement."""

    reason: Optional[str] = None


class AgreementTerminated(AgreementEvent):
    """The agreement is over."""

    reason: Dict[str, Any]


class DebitNoteEvent(AgreementEvent):
    """An event of a debit note."""

    debit_note: "DebitNote"

    @property
    def amount(self) -> Decimal:
        """GLM that its activity owes so far."""
        return self.debit_note.amount


class DebitNoteReceived(DebitNoteEvent):
    """A debit note came."""


class DebitNoteAccepted(DebitNoteEvent):
    """A debit note was accepted."""


class InvoiceEvent(AgreementEvent):
    """An event of an invoice."""

    invoice: "Invoice"

    @property
    def inv_id(self) -> str:
        """The id of the invoice."""
        return self.invoice.id

    @property
    def amount(self) -> Decimal:
        """GLM that the invoice asks for."""
        return self.invoice.amount


class InvoiceReceived(InvoiceEvent):
    """An invoice came."""


class InvoiceAccepted(InvoiceEvent):
    """An invoice was accepted: it will be paid."""


class PaymentFailed(AgreementEvent):
    """A bill was refused, or hasn't come in time."""


class WorkerStarted(AgreementEvent):
    """A machine is ready, and its worker begins."""


class ActivityCreateFailed(AgreementEvent):
    """A machine couldn't be set up."""


class ActivityEvent(AgreementEvent):
    """An event of an activity."""

    activity: "Activity"


class ActivityCreated(ActivityEvent):
    """A machine is being set up."""


class WorkerFinished(ActivityEvent):
    """A machine is no longer used; with an error if it failed."""


class TaskEvent(ActivityEvent):
    """An event of a task."""

    task: "Task[Any, Any]"

    @property
    def task_id(self) -> str:
        """The id of the task."""
        return self.task.id

    @property
    def task_data(self) -> Any:
        """The data of the task."""
        return self.task.data


class TaskStarted(TaskEvent):
    """A task is being tried."""


class TaskFinished(TaskEvent):
    """A task has been answered."""


class TaskAccepted(TaskEvent):
    """A task has its result."""

    @property
    def result(self) -> Any:
        """The result of the task."""
        return self.task.result


class TaskRejected(TaskEvent):
    """The result of an attempt was rejected."""

    reason: Optional[str] = None


class ScriptEvent(ActivityEvent):
    """An event of a script."""

    script: "Script"

    @property
    def script_id(self) -> int:
        """The id of the script."""
        return self.script.id

    @property
    def cmds(self) -> List[str]:
        """The commands in words."""
        return self.script.words()


class ScriptSent(ScriptEvent):
    """A script is sent."""


class GettingResults(ScriptEvent):
    """Results are awaited."""


class ScriptFinished(ScriptEvent):
    """A script has ended well."""


class CommandEvent(ScriptEvent):
    """An event of a command."""

    command: "Command"


class CommandStarted(CommandEvent):
    """A command has begun; with ``stream_output`` only."""


class CommandStdOut(CommandEvent):
    """A command wrote to standard output; with ``stream_output`` only."""

    output: str


class CommandStdErr(CommandEvent):
    """A command wrote to standard error; with ``stream_output`` only."""

    output: str


class CommandExecuted(CommandEvent):
    """A command has ended. This is what awaiting a command gives."""

    success: bool
    message: Optional[str]
    stdout: Optional[str]
    stderr: Optional[str]
    #: The exit code of a program; ``None`` where it isn't known.
    exit_code: Optional[int] = None
    #: Standard output as it came, byte by byte.
    stdout_bytes: bytes = b""


class CommandProgress(CommandEvent):
    """A deployment or a transfer has come so far; with ``stream_output`` only."""

    step: Optional[Tuple[int, int]]
    message: Optional[str]
    progress: Tuple[int, Optional[int]]
    unit: Optional[str]


class DownloadStarted(CommandEvent):
    """A file is being fetched."""

    @property
    def path(self) -> Optional[str]:
        """The file on the provider."""
        return getattr(self.command, "src_path", None)


class DownloadFinished(CommandEvent):
    """A file has been fetched."""

    @property
    def path(self) -> Optional[str]:
        """The file on this machine; ``None`` where it was fetched into memory."""
        return getattr(self.command, "dst_path", None)


class ServiceEvent(ActivityEvent):
    """An event of a service. There are none yet."""

    service: Any


class ServiceStateChanged(ServiceEvent):
    """The state of a service changed. There are no services yet."""


class ServiceFinished(ServiceEvent):
    """A service is over. There are no services yet."""


class ShutdownFinished(Event):
    """Everything is over; with an error if that went wrong."""


class ExecutionInterrupted(Event):
    """Work ends early."""


#: The names that some of them had in yapapi 0.5.
ComputationStarted = JobStarted
ComputationFinished = JobFinished
PaymentAccepted = InvoiceAccepted
