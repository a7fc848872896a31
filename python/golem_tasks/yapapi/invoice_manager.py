"""A part of yapapi's own engine, which isn't available."""

from __future__ import annotations

from golem_tasks.yapapi._absent import ENGINE, absent

__all__ = ["InvoiceManager", "AgreementData"]

InvoiceManager = absent(__name__, "InvoiceManager", ENGINE)
AgreementData = absent(__name__, "AgreementData", ENGINE)
