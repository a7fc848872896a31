"""Strategies that were added to yapapi."""

from __future__ import annotations

from golem_tasks.yapapi.contrib.strategy.provider_filter import ProviderFilter

__all__ = ["ProviderFilter"]
