"""The exceptions of batches."""

from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from .batch import PoolingBatch

__all__ = ["BatchError", "BatchTimeoutError", "CommandCancelled", "CommandFailed", "PoolingBatchException", "ResourceException"]


class ResourceException(Exception):
    """The base of all exceptions here."""


class PoolingBatchException(ResourceException):
    """The base of exceptions about a batch."""

    def __init__(self, batch: "PoolingBatch", message: str) -> None:
        super().__init__(message)
        self._batch = batch

    @property
    def batch(self) -> "PoolingBatch":
        """The batch that it is about."""
        return self._batch


class BatchError(PoolingBatchException):
    """A batch failed: one of its commands did, or the activity was lost. ``__cause__`` is the engine's own error."""

    def __init__(self, batch: "PoolingBatch", message: Optional[str] = None) -> None:
        super().__init__(batch, message if message is not None else f"{batch} failed: {batch.failure_text}")


class CommandFailed(BatchError):
    """The command whose result was awaited failed."""


class CommandCancelled(BatchError):
    """The command whose result was awaited wasn't executed, because an earlier one failed."""


class BatchTimeoutError(PoolingBatchException):
    """A batch wasn't done in the time that :meth:`PoolingBatch.wait` was given. The batch goes on."""

    def __init__(self, batch: "PoolingBatch", timeout: float) -> None:
        super().__init__(batch, f"{batch} wasn't done in {timeout:g} seconds.")
        self._timeout = timeout

    @property
    def timeout(self) -> float:
        """The time in seconds."""
        return self._timeout
