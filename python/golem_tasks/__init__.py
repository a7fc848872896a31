"""Run piles of work on the Golem Network."""

from ._native import __version__

__all__ = ["__version__"]
