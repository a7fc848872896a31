"""The logger of ``golem_core``. A run prints its own events."""

from ._absent import missing

DefaultLogger = missing("DefaultLogger", __name__)
