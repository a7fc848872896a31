"""Chunks of a proxy, which isn't available."""

from __future__ import annotations

from golem_tasks.yapapi._absent import SERVICES, absent

__all__ = ["chunks"]

chunks = absent(__name__, "chunks", SERVICES)
