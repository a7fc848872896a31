"""Activities and batches, as a task sees them."""

from .._absent import missing
from . import exceptions
from .activity import Activity
from .batch import CommandResult, PoolingBatch

Agreement = missing("Agreement", __name__)
Allocation = missing("Allocation", __name__)
DebitNote = missing("DebitNote", __name__)
Demand = missing("Demand", __name__)
Invoice = missing("Invoice", __name__)
Network = missing("Network", __name__)
Proposal = missing("Proposal", __name__)

__all__ = [
    "Activity",
    "Agreement",
    "Allocation",
    "CommandResult",
    "DebitNote",
    "Demand",
    "Invoice",
    "Network",
    "PoolingBatch",
    "Proposal",
    "exceptions",
]
