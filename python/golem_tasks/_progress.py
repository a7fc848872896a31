"""A progress bar, where one is wanted: in Jupyter, with tqdm (``pip install 'golem-tasks[progress]'``)."""

from __future__ import annotations

import sys
from typing import Any, Optional, Union

Progress = Union[bool, None]
"""``True``: a bar, for which tqdm must be there; ``False``: none; ``None``: one in Jupyter where tqdm is there."""


class Bar:
    """A bar, or none at all where nothing is shown."""

    def __init__(self, shown: Any = None) -> None:
        self._shown = shown

    def step(self) -> None:
        """One more is done."""
        if self._shown is not None:
            self._shown.update()

    def close(self) -> None:
        """Nothing more comes: the bar stays as it is. A second call changes nothing."""
        if self._shown is not None:
            self._shown.close()
            self._shown = None


def _is_jupyter() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def bar(progress: Progress, total: Optional[int]) -> Bar:
    """Begins a bar of so many steps. Raises :class:`ImportError` where tqdm is wanted and missing."""
    if progress is False or (progress is None and not _is_jupyter()):
        return Bar()
    try:
        from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        if progress is None:
            return Bar()
        raise ImportError("A progress bar needs tqdm. Install it by `pip install 'golem-tasks[progress]'`, or leave progress=True out.") from None
    return Bar(tqdm(total=total, unit="task"))
