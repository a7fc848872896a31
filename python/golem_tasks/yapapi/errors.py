"""Errors that yapapi has no class for, and how the engine's errors become those that programs on yapapi know."""

from __future__ import annotations

import asyncio
from typing import Any, Dict, List, Optional

from golem_tasks import _native
from golem_tasks.yapapi._task import Task
from golem_tasks.yapapi.config import MissingConfiguration
from golem_tasks.yapapi.engine import NoPaymentAccountError
from golem_tasks.yapapi.payload.package import PackageException
from golem_tasks.yapapi.rest.activity import BatchError, BatchTimeoutError, CommandExecutionError

__all__ = ["BudgetInUse", "EngineError", "TasksTimeout", "UnfinishedTasks"]


class EngineError(Exception):
    """The engine couldn't start or go on; the message says what mends it."""


class BudgetInUse(EngineError):
    """Another payload is at work with all of the budget."""


class UnfinishedTasks(EngineError):
    """Tasks have no result though nobody gave them up. yapapi ends its loop silently then."""

    def __init__(
        self,
        message: str,
        cause: str,
        failed: List["Task[Any, Any]"],
        unfinished: List["Task[Any, Any]"],
        reasons: Optional[Dict[str, str]] = None,
    ) -> None:
        super().__init__(message)
        #: ``tasks_failed``, ``timed_out``, ``budget_reached``, ``nothing_runs``, ``closed``, ``cancelled``, ``source_failed`` or ``broken``.
        self.cause = cause
        #: Tasks that failed for good.
        self.failed = failed
        #: Tasks that were not finished.
        self.unfinished = unfinished
        #: The last failure of each failed task, by the task's id.
        self.reasons = reasons or {}


class TasksTimeout(UnfinishedTasks, asyncio.TimeoutError):
    """The timeout passed before all tasks were finished."""


def of_start(error: _native.Error) -> Exception:
    """Return yapapi's error for one of the engine's start."""
    details = error.details
    if error.kind == "no_payment_account":
        return NoPaymentAccountError(str(details.get("driver")), str(details.get("network")))
    if error.kind == "no_app_key":
        return MissingConfiguration("YAGNA_APPKEY", "key to the daemon; `yagna app-key list` shows it")
    if error.kind in ("payload", "image"):
        return PackageException(str(error))
    return EngineError(str(error))


def of_script(error: _native.Error) -> BatchError:
    """Return yapapi's error for a script that failed. Raise it from the engine's, by which the engine judges the failure."""
    details = error.details
    ours: BatchError
    if error.kind in ("command_failed", "transfer_failed"):
        command = CommandExecutionError(str(details.get("command")), details.get("message") or str(error), details.get("stderr") or None)
        command.exit_code = details.get("exit_code")
        ours = command
    elif error.kind == "expired":
        ours = BatchTimeoutError(str(error))
    else:
        ours = BatchError(str(error))
    return ours


def of_job(error: _native.Error, failures: Dict[str, str]) -> UnfinishedTasks:
    """Return the error for a job that ended with tasks that have no result, those left out that the program gave up itself."""
    details = error.details
    cause = str(details.get("cause"))
    failed = [failure.data for failure in details.get("failed", []) if not failure.data._given_up]
    unfinished = list(details.get("unfinished", []))
    message = str(error)
    if cause == "tasks_failed" and failed:
        count = "One task" if len(failed) == 1 else f"{len(failed)} tasks"
        such = "it is" if len(failed) == 1 else "one of them is"
        message = f"{count} failed for good: {such} {failed[0]!r}, and its last failure is: {failures.get(failed[0].id)}."
    kind = TasksTimeout if cause == "timed_out" else UnfinishedTasks
    return kind(message, cause, failed, unfinished, failures)
