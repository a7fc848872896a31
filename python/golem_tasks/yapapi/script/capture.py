"""The part of a program's output that is kept."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple, Union

__all__ = ["CaptureContext", "CaptureFormat", "CaptureMode"]


class CaptureMode(enum.Enum):
    """The part of the output that is kept."""

    HEAD = "head"
    TAIL = "tail"
    HEAD_TAIL = "headTail"
    STREAM = "stream"


class CaptureFormat(enum.Enum):
    """The form in which output is kept."""

    BIN = "bin"
    STR = "str"


_NATIVE = {CaptureMode.HEAD: "head", CaptureMode.TAIL: "tail", CaptureMode.HEAD_TAIL: "head_tail"}


@dataclass
class CaptureContext:
    """The part of a program's output that is kept, and its form."""

    mode: CaptureMode
    #: Bytes; ``None`` for all of it.
    limit: Optional[int]
    fmt: Optional[CaptureFormat]

    @classmethod
    def build(cls, mode: Optional[str] = None, limit: Optional[int] = None, fmt: Optional[str] = None) -> "CaptureContext":
        """Make one from words: ``mode`` is ``all``, ``stream``, ``head``, ``tail`` or ``headTail``; ``fmt`` is ``str`` or ``bin``.

        **Raises** :class:`ValueError` for other words.
        """
        if mode in (None, "all"):
            return cls(CaptureMode.HEAD, None, cls._format(fmt))
        try:
            return cls(CaptureMode(mode), limit, cls._format(fmt))
        except ValueError as error:
            raise ValueError(f"`{mode}` is not a mode of capture. Use `all`, `stream`, `head`, `tail` or `headTail`.") from error

    @staticmethod
    def _format(fmt: Optional[str]) -> Optional[CaptureFormat]:
        if fmt is None:
            return None
        try:
            return CaptureFormat(fmt)
        except ValueError:
            raise ValueError(f"`{fmt}` is not a format of capture. Use `str` or `bin`.") from None

    def to_dict(self) -> Dict[str, Any]:
        """Return it as the daemon's API has it."""
        if self.is_streaming():
            return {"stream": {}}
        inner: Dict[str, Any] = {self.mode.value: self.limit} if self.limit is not None else {}
        if self.fmt is not None:
            inner["format"] = self.fmt.value
        return {"atEnd": inner}

    def is_streaming(self) -> bool:
        """True if output is told of while it is written."""
        return self.mode is CaptureMode.STREAM

    def _native(self) -> Union[str, Tuple[str, int]]:
        if self.is_streaming():
            return "stream"
        return "all" if self.limit is None else (_NATIVE[self.mode], self.limit)
