"""The net API, which is not available."""

from __future__ import annotations

from golem_tasks.yapapi._absent import NETWORKS, absent

__all__ = ["Net"]

Net = absent(__name__, "Net", NETWORKS)
