"""Virtual machines with an image, under the name that yapapi 0.5 has for them."""

from __future__ import annotations

from golem_tasks.yapapi.payload.vm import VmPackage, repo

__all__ = ["VmPackage", "repo"]
