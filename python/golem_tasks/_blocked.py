"""The warning about a blocked event loop."""

import logging
import time

_logger = logging.getLogger("golem_tasks")
_PAUSE = 30.0
_last = -_PAUSE


def warn(seconds: float) -> None:
    """Warns that the event loop did nothing for so many seconds; at most once in half a minute."""
    global _last
    now = time.monotonic()
    if now - _last < _PAUSE:
        return
    _last = now
    _logger.warning(
        "Something blocked the event loop for %.1f s, and all work waited meanwhile. A worker must await what takes time, or have it done in a thread "
        "by asyncio.to_thread.",
        seconds,
    )
