"""Retries of requests, which the engine does itself."""

from __future__ import annotations

from golem_tasks.yapapi._absent import REST, absent

__all__ = ["SuppressedExceptions", "is_intermittent_error", "repeat_on_error"]

SuppressedExceptions = absent(__name__, "SuppressedExceptions", REST)
is_intermittent_error = absent(__name__, "is_intermittent_error", REST)
repeat_on_error = absent(__name__, "repeat_on_error", REST)
