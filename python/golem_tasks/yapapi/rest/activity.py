"""Activities as events name them, and the errors of scripts."""

from __future__ import annotations

from typing import Any, Optional

from golem_tasks.yapapi._absent import REST, absent

__all__ = [
    "Activity",
    "ActivityService",
    "Batch",
    "BatchError",
    "BatchTimeoutError",
    "CommandExecutionError",
    "PollingBatch",
    "Result",
    "StreamingBatch",
]


class BatchError(Exception):
    """A script didn't come to its end."""


class CommandExecutionError(BatchError):
    """A command of a script failed."""

    def __init__(self, command: str, message: Optional[str] = None, stderr: Optional[str] = None) -> None:
        super().__init__(command, message)
        #: The command in words.
        self.command = command
        #: The provider's message.
        self.message = message
        #: What the command wrote to standard error; ``None`` where that isn't known.
        self.stderr = stderr
        #: The exit code of a program; ``None`` where it isn't known.
        self.exit_code: Optional[int] = None

    def __str__(self) -> str:
        text = f"Command `{self.command}` failed on the provider"
        if self.message:
            text += f", message: `{self.message}`"
        if self.stderr and self.stderr.strip():
            text += f", stderr: `{self.stderr.strip()[-500:]}`"
        return f"{text}."


class BatchTimeoutError(BatchError):
    """A script didn't end within its timeout."""


class Activity:
    """An activity: one machine while it is rented."""

    def __init__(self, activity_id: str, context: Any = None) -> None:
        self._id = activity_id
        self._context = context

    @property
    def id(self) -> str:
        """The id of the activity."""
        return self._id

    def __repr__(self) -> str:
        return f"Activity(id={self._id!r})"


ActivityService = absent(__name__, "ActivityService", REST)
Batch = absent(__name__, "Batch", REST)
PollingBatch = absent(__name__, "PollingBatch", REST)
StreamingBatch = absent(__name__, "StreamingBatch", REST)
Result = absent(__name__, "Result", REST)
