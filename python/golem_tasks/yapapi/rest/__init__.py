"""The names of the daemon's API that events and errors use. The wrappers of its requests aren't available."""

from __future__ import annotations

from golem_tasks.yapapi.rest import activity, common, configuration, market, net, payment, resource
from golem_tasks.yapapi.rest.activity import Activity
from golem_tasks.yapapi.rest.configuration import Configuration

__all__ = [
    "Activity",
    "Configuration",
    "Market",
    "Net",
    "Payment",
    "activity",
    "common",
    "configuration",
    "market",
    "net",
    "payment",
    "resource",
]

Market = market.Market
Net = net.Net
Payment = payment.Payment
