"""The module of golem-tasks-python that had :class:`Runner`: ``from golem_tasks.run import Runner``.

Its name is that of the function :func:`golem_tasks.run`, too, so the module can be called as that.
"""

import sys
from types import ModuleType
from typing import Any

from ._run import run as _run
from .runner import Runner

__all__ = ["Runner"]


class _Callable(ModuleType):
    """A module that is called as :func:`golem_tasks.run`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _run(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
