"""The exceptions of golem-tasks, made of the engine's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from . import _native

if TYPE_CHECKING:
    from ._native import TaskFailure as _NativeFailure


@dataclass(frozen=True)
class Provider:
    """A provider: who does the work."""

    id: str
    """Its node id."""
    name: str
    """Its own name for itself; anybody may have the same one."""

    def __str__(self) -> str:
        return self.name or self.id


class GolemError(Exception):
    """Something failed: here, at the daemon, or on a provider. The text is a sentence that says what to do, where anything is known to help."""

    kind: str = "golem"
    """The kind of failure, for programs."""


class StartError(GolemError):
    """The work couldn't begin: no daemon, no key, no image, no money. Nothing was bought."""


class NoPaymentAccountError(StartError):
    """The daemon has no account with funds for this payment driver and network."""

    def __init__(self, text: str, driver: str, network: str) -> None:
        super().__init__(text)
        self.driver = driver
        self.network = network


class CloseError(GolemError):
    """The end didn't go as it should: bills may be unsettled. ``golem-tasks settle`` and the daemon know more."""


class BudgetError(GolemError):
    """The budget couldn't be raised; it is what it was."""


class ScriptError(GolemError):
    """Commands couldn't be carried out on a provider."""

    provider: Optional[Provider] = None
    """The provider where it happened."""


class CommandFailed(ScriptError):
    """A command failed, and nothing after it was run. The machine can be used on."""

    command: str = ""
    """The command in words."""
    exit_code: Optional[int] = None
    """Its exit code; ``None`` where it has none, as a transfer that failed."""
    stderr: str = ""
    """The end of what it wrote to standard error, 4096 bytes at most."""
    message: str = ""
    """The provider's own words."""


class CommandTimeout(ScriptError):
    """The time was over while a command was being run; it may still be running, so the machine can't be used on."""


class ProviderLost(ScriptError):
    """The provider is gone, has ended the agreement, or is busy with an earlier script."""


class TaskFailed(GolemError):
    """An input has no result, and won't get any: it failed as often as it may be tried, or it was refused.

    Its ``__cause__`` is what the function raised at the last attempt in this process, if it did.
    """

    input: Any
    """The input."""
    provider: Optional[Provider]
    """The provider of the last attempt."""
    attempts: int
    """The number of attempts."""
    exit_code: Optional[int]
    """The exit code of the command that failed, if one did."""
    stderr: str
    """The end of that command's standard error."""

    def __init__(self, text: str, input: Any, attempts: int = 0, provider: Optional[Provider] = None) -> None:
        super().__init__(text)
        self.input = input
        self.attempts = attempts
        self.provider = provider
        self.exit_code = None
        self.stderr = ""


class WorkFailed(GolemError):
    """Some inputs have no result. It comes last, after every result that there is."""

    cause: str
    """Why: ``tasks_failed``, ``timed_out``, ``budget_reached``, ``nothing_runs``, ``source_failed``, ``cancelled``, ``closed`` or ``broken``."""
    failed: list[TaskFailed]
    """Those that failed."""
    unfinished: list[Any]
    """Inputs that weren't finished, as far as they had been read."""

    def __init__(self, text: str, cause: str, failed: list[TaskFailed], unfinished: list[Any]) -> None:
        super().__init__(text)
        self.cause = cause
        self.failed = failed
        self.unfinished = unfinished


class RunError(GolemError):
    """A durable run couldn't begin, or broke off. What is done is kept."""

    exit_code: int = 1
    """The exit code that ``golem-tasks`` would end with; see docs/exit-codes.md."""


_STARTS = {"no_app_key", "address", "budget", "payload", "unreachable", "unauthorised", "allocation", "start", "devnet", "image"}
_LOST = {"activity_lost", "agreement_ended", "busy"}


def translated(error: _native.Error) -> GolemError:
    """The exception that a user gets for one of the engine. Raise it ``from error``, so that the engine recognises it in a worker."""
    kind, details = getattr(error, "kind", "golem"), getattr(error, "details", {})
    text = str(error)
    made: GolemError
    if kind == "no_payment_account":
        made = NoPaymentAccountError(text, details["driver"], details["network"])
    elif kind in _STARTS:
        made = StartError(text)
    elif kind == "close":
        made = CloseError(text)
    elif kind == "budget_not_raised":
        made = BudgetError(text)
    elif kind == "run":
        made = RunError(text)
        made.exit_code = details.get("exit_code", 1)
    else:
        made = _of_script(kind, text, details)
    made.kind = kind
    return made


def _of_script(kind: str, text: str, details: dict[str, Any]) -> ScriptError:
    made: ScriptError
    if kind in ("command_failed", "transfer_failed"):
        made = failed = CommandFailed(text)
        failed.command = details["command"]
        failed.exit_code = details["exit_code"]
        failed.stderr = details["stderr"]
        failed.message = details["message"]
    elif kind == "expired":
        made = CommandTimeout(text)
    elif kind in _LOST:
        made = ProviderLost(text)
    else:
        made = ScriptError(text)
    if "provider_id" in details:
        made.provider = Provider(details["provider_id"], details["provider_name"])
    return made


def task_failed(failure: _NativeFailure, input: Any, raised: Optional[BaseException]) -> TaskFailed:
    """The exception of an input that failed; ``raised``: what the function raised at its last attempt."""
    provider = None
    if failure.provider_id is not None:
        provider = Provider(failure.provider_id, failure.provider_name or "")
    times = "once" if failure.attempts == 1 else f"{failure.attempts} times"
    place = f" on {provider}" if provider else ""
    made = TaskFailed(f"The input {input!r} failed{place}, tried {times}: {failure.message}", input, failure.attempts, provider)
    made.kind = failure.kind
    made.stderr = failure.stderr
    made.__cause__ = raised
    if isinstance(raised, CommandFailed):
        made.exit_code = raised.exit_code
        made.stderr = made.stderr or raised.stderr
    return made
