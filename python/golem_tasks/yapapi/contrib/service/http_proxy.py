"""The HTTP proxy of services, which isn't available."""

from __future__ import annotations

from golem_tasks.yapapi._absent import SERVICES, absent

__all__ = ["HttpProxyService", "LocalHttpProxy"]

HttpProxyService = absent(__name__, "HttpProxyService", SERVICES)
LocalHttpProxy = absent(__name__, "LocalHttpProxy", SERVICES)
