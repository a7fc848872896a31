"""Virtual networks, which aren't available."""

from __future__ import annotations

from golem_tasks.yapapi._absent import NETWORKS, absent

__all__ = ["Network", "NetworkError", "NetworkSerialization", "NetworkState", "Node"]

Network = absent(__name__, "Network", NETWORKS)
NetworkSerialization = absent(__name__, "NetworkSerialization", NETWORKS)
NetworkState = absent(__name__, "NetworkState", NETWORKS)
Node = absent(__name__, "Node", NETWORKS)


class NetworkError(Exception):
    """Never raised: there are no virtual networks yet."""
