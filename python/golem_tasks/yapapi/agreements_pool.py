"""A part of yapapi's own engine, which isn't available."""

from __future__ import annotations

from golem_tasks.yapapi._absent import ENGINE, absent

__all__ = ["AgreementsPool", "BufferedAgreement"]

AgreementsPool = absent(__name__, "AgreementsPool", ENGINE)
BufferedAgreement = absent(__name__, "BufferedAgreement", ENGINE)
