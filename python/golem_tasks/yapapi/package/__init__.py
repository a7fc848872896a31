"""Images of machines, under the name that yapapi 0.5 has for them."""

from __future__ import annotations

from golem_tasks.yapapi.package import vm
from golem_tasks.yapapi.payload.package import Package, PackageException

__all__ = ["Package", "PackageException", "vm"]
