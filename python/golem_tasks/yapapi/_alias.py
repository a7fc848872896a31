"""Puts this package in yapapi's place, so that programs run without any change."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from typing import Iterator

__all__ = ["install", "modules"]

_OURS = "golem_tasks.yapapi"


def modules() -> Iterator[str]:
    """Return the names below ``yapapi`` that programs can import, such as ``rest.activity``."""
    package = importlib.import_module(_OURS)
    for module in pkgutil.walk_packages(package.__path__, f"{_OURS}."):
        name = module.name[len(_OURS) + 1 :]
        if not any(part.startswith("_") for part in name.split(".")):
            yield name


def install() -> None:
    """Have ``import yapapi`` and its modules import this package from now on, whether or not yapapi is installed."""
    sys.modules["yapapi"] = importlib.import_module(_OURS)
    for name in modules():
        sys.modules[f"yapapi.{name}"] = importlib.import_module(f"{_OURS}.{name}")
