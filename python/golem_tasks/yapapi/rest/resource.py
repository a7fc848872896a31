"""Resources of the daemon, which the engine cares for itself."""

from __future__ import annotations

from golem_tasks.yapapi._absent import REST, absent

__all__ = ["ResourceCtx"]

ResourceCtx = absent(__name__, "ResourceCtx", REST)
