"""The commands that the package brings: ``golem-tasks`` and ``gftp``."""

import sys

from . import _native


def main() -> int:
    """The program ``golem-tasks``. Its exit codes are in docs/exit-codes.md."""
    return _native.main(["golem-tasks", *sys.argv[1:]])


def gftp() -> int:
    """The program ``gftp``, which yapapi and golem-js start to move files."""
    return _native.gftp(["gftp", *sys.argv[1:]])
