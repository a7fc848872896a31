"""A progress bar, where one is wanted: in Jupyter, with tqdm (``pip install 'golem-tasks[progress]'``)."""

from __future__ import annotations

import sys
from typing import Any, Callable, Optional, Union

Progress = Union[bool, None]
"""``True``: a bar, for which tqdm must be there; ``False``: none; ``None``: one in Jupyter where tqdm is there."""


def _nothing() -> None:
    pass


def _is_jupyter() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def bar(progress: Progress, total: Optional[int]) -> Callable[[], None]:
    """Begins a bar of so many steps, and gives the function that does one step. Raises :class:`ImportError` where tqdm is wanted and missing."""
    if progress is False or (progress is None and not _is_jupyter()):
        return _nothing
    try:
        from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        if progress is None:
            return _nothing
        raise ImportError("A progress bar needs tqdm. Install it by `pip install 'golem-tasks[progress]'`, or leave progress=True out.") from None
    shown: Any = tqdm(total=total, unit="task")

    def step() -> None:
        shown.update()
        if total is not None and shown.n >= total:
            shown.close()

    return step
