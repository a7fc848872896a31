"""``python -m golem_tasks`` and the command ``golem-tasks``: all commands of the program, which run modules as well as job files."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Optional

from . import _native
from ._module import ModuleError, Work, is_job_file, load
from ._module_job import Job

if TYPE_CHECKING:
    from ._native import JobSettings

_OF_MODULES = ("run", "check")
"""Commands that take a job."""
_WITHOUT_VALUE = ("--devnet", "--json", "--quiet", "-q", "--retry-failed", "--changed-job", "--verbose", "-h", "--help")
"""Flags of these commands that stand alone."""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Carries out the command line, and returns the exit code. ``argv`` is without the program's name, and this process's unless given."""
    words = ["golem-tasks", *(sys.argv[1:] if argv is None else argv)]
    # The engine hears Ctrl+C itself while a run goes on. Else it ends the process, as it does with any other command.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    found = _Found(words)
    if found.error is not None:
        print(f"error: {found.error}", file=sys.stderr)
        return 2
    return asyncio.run(found.run())


class _Found:
    """The module on a command line, imported before any event loop runs, as a module may want to run one while it is imported."""

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._works: dict[str, Work] = {}
        self._job: Optional[Job] = None
        self.error: Optional[ModuleError] = None
        name = _job_of(words)
        if name is not None and not is_job_file(name):
            try:
                self._works[name] = load(name)
            except ModuleError as error:
                self.error = error

    async def run(self) -> int:
        code = await _native.program(self._words, self._find)
        if self._job is not None and "run" in self._words:
            count = await self._job.tell_results()
            if count is not None and not {"-q", "--quiet", "--json"} & set(self._words):
                print(f"results_cnt: {count}", file=sys.stderr)
        return code

    def _find(self, name: str) -> "Optional[JobSettings]":
        if is_job_file(name):
            return None
        if name not in self._works:
            self._works[name] = load(name)
        self._job = Job(self._works[name], asyncio.get_running_loop())
        return self._job.settings()


def _job_of(words: Sequence[str]) -> Optional[str]:
    """The job on a command line, where its command takes one."""
    rest = iter(words[1:])
    command = None
    for word in rest:
        if word == "--":
            return next(rest, None) if command is not None else None
        if word.startswith("-") and word != "-":
            if "=" not in word and word not in _WITHOUT_VALUE and not _is_verbose(word):
                next(rest, None)
        elif command is None:
            if word not in _OF_MODULES:
                return None
            command = word
        else:
            return word
    return None


def _is_verbose(word: str) -> bool:
    return word.startswith("-v") and set(word[1:]) <= set("vq")


if __name__ == "__main__":
    sys.exit(main())
