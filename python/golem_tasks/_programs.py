"""The command ``gftp`` that the package brings; ``golem-tasks`` is :mod:`golem_tasks.__main__`."""

import signal
import sys

from . import _native


def gftp() -> int:
    """The program ``gftp``, which yapapi and golem-js start to move files."""
    # It hears Ctrl+C itself.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _native.gftp(["gftp", *sys.argv[1:]])
