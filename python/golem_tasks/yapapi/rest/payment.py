"""Bills as events name them."""

from __future__ import annotations

from decimal import Decimal
from typing import Optional

from golem_tasks.yapapi._absent import REST, absent

__all__ = ["Allocation", "AllocationDetails", "DebitNote", "Invoice", "Payment"]


class _Bill:
    def __init__(self, bill_id: str, amount: Decimal, agreement_id: Optional[str]) -> None:
        self.id = bill_id
        #: GLM.
        self.amount = amount
        self.agreement_id = agreement_id

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, amount={self.amount})"


class Invoice(_Bill):
    """The bill for a whole agreement."""

    @property
    def invoice_id(self) -> str:
        """The id of the invoice."""
        return self.id


class DebitNote(_Bill):
    """The bill for an activity so far."""

    @property
    def debit_note_id(self) -> str:
        """The id of the debit note."""
        return self.id

    @property
    def total_amount_due(self) -> Decimal:
        """GLM that the activity owes so far."""
        return self.amount


Payment = absent(__name__, "Payment", REST)
Allocation = absent(__name__, "Allocation", REST)
AllocationDetails = absent(__name__, "AllocationDetails", REST)
