"""The socket proxy of services, which isn't available."""

from __future__ import annotations

from golem_tasks.yapapi._absent import SERVICES, absent

__all__ = ["ProxyConnection", "ProxyServer", "SocketProxy", "SocketProxyService"]

ProxyConnection = absent(__name__, "ProxyConnection", SERVICES)
ProxyServer = absent(__name__, "ProxyServer", SERVICES)
SocketProxy = absent(__name__, "SocketProxy", SERVICES)
SocketProxyService = absent(__name__, "SocketProxyService", SERVICES)
