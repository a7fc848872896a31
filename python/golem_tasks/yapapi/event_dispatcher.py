"""A part of yapapi's own engine, which isn't available."""

from __future__ import annotations

from golem_tasks.yapapi._absent import ENGINE, absent

__all__ = ["AsyncEventDispatcher"]

AsyncEventDispatcher = absent(__name__, "AsyncEventDispatcher", ENGINE)
