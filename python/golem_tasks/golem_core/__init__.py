"""The part of ``golem_core`` that programs for golem-tasks-python use, on the engine of golem-tasks.

A module for ``python -m golem_tasks run`` imports :class:`Payload` and :mod:`commands` from here, or from ``golem_core`` itself: the command
puts this package in its place. Everything that rents and pays is done by the engine, so :class:`GolemNode` and what belongs to it are absent;
using one of those names raises :class:`NotImplementedError`, which says what to use instead.
"""

from . import commands, events, low
from ._absent import GolemNode
from .payload import Payload

__all__ = ["GolemNode", "Payload", "commands", "events", "low"]
