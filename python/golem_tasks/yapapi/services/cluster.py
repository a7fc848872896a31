"""Clusters of services, which aren't available."""

from __future__ import annotations

from golem_tasks.yapapi._absent import SERVICES, absent

__all__ = ["Cluster"]

Cluster = absent(__name__, "Cluster", SERVICES)
