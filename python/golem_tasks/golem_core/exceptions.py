"""Exceptions, under the name that ``golem_core`` had for some of them."""

from .low.exceptions import BatchError, BatchTimeoutError, CommandCancelled, CommandFailed, ResourceException

__all__ = ["BatchError", "BatchTimeoutError", "CommandCancelled", "CommandFailed", "ResourceException"]
