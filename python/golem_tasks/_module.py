"""Modules for ``python -m golem_tasks run``: a payload, tasks, and a count of results."""

import asyncio
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Optional

from ._payload import Settings, settings_of
from ._pile import Source
from ._stand_in import stand_in

ResultsCnt = Callable[[str], Awaitable[int]]


class ModuleError(Exception):
    """A module can't be run. The text says why, and what to do."""

    is_told = True
    """The command line tells the text as it is."""


@dataclass(frozen=True)
class Work:
    """The contents of a module: the machine, the tasks, and how many results there are."""

    name: str
    payload: Settings
    get_tasks: Callable[[str], Source]
    results_cnt: Optional[ResultsCnt]


def is_job_file(name: str) -> bool:
    """True if this names a job file, and not a module."""
    if name.endswith(".py"):
        return False
    return name.endswith(".toml") or name == "-" or os.sep in name or os.path.isfile(name)


def load(name: str) -> Work:
    """Imports a module by its dotted name, from the current folder too, or by the path of its file.

    ``golem_core`` and ``yapapi`` are ours for whatever it imports. Raises :class:`ModuleError`.
    """
    stand_in("golem_core", "golem_tasks.golem_core")
    if importlib.util.find_spec("golem_tasks.yapapi") is not None:
        stand_in("yapapi", "golem_tasks.yapapi")
    return work_of(_imported(name), name)


def work_of(module: ModuleType, name: str) -> Work:
    """Reads the contents of a module. Raises :class:`ModuleError` where something is missing or isn't what it must be."""
    if getattr(module, "__file__", None) is None and hasattr(module, "__path__"):
        folder = next(iter(module.__path__), name)
        raise ModuleError(f"{name} is the folder {folder}, not a module; give the path of a file, or start in the folder where the module is")
    missing = [wanted for wanted in ("PAYLOAD", "get_tasks") if not hasattr(module, wanted)]
    if missing:
        raise ModuleError(
            f"the module {name} has no {' and no '.join(missing)}: it needs PAYLOAD, the machine, such as "
            "Payload.from_image_hash(..), and get_tasks(run_id), which yields async functions of an activity"
        )
    return checked(name, module.PAYLOAD, module.get_tasks, getattr(module, "results_cnt", None))


def checked(name: str, payload: Any, get_tasks: Any, results_cnt: Any) -> Work:
    """The parts of a module, checked. Raises :class:`ModuleError`."""
    try:
        settings = settings_of(_awaited(payload))
    except (TypeError, ValueError) as error:
        raise ModuleError(f"the payload of {name} can't be used: {_sentence(error)}") from error
    if not callable(get_tasks):
        raise ModuleError(f"get_tasks of {name} is {get_tasks!r}: it must be a function of the run's id that yields async functions")
    if results_cnt is not None and not callable(results_cnt):
        raise ModuleError(f"results_cnt of {name} is {results_cnt!r}: it must be an async function of the run's id that returns a number")
    for what, function in (("get_tasks", get_tasks), ("results_cnt", results_cnt)):
        if function is not None and not _takes_one(function):
            raise ModuleError(f"{what} of {name} must take one argument, the run's id: `def {what}(run_id):`")
    return Work(name, settings, get_tasks, results_cnt)


def _imported(name: str) -> ModuleType:
    if name.endswith(".py"):
        return _from_file(name)
    here = os.getcwd()
    if "" not in sys.path and here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise _cannot_import(name, error) from error
        raise ModuleError(
            f"there is no module {name}, neither in this folder ({here}) nor installed; a module is named with dots, as in `import`, "
            "a job file ends in .toml, and a run of a module is resumed in the folder where it was started"
        ) from error
    except Exception as error:
        raise _cannot_import(name, error) from error


def _from_file(path: str) -> ModuleType:
    if not os.path.isfile(path):
        raise ModuleError(f"there is no file {path}; give the path of a module, or its name with dots")
    folder, file = os.path.split(os.path.abspath(path))
    name = file[: -len(".py")]
    # As if it were run as a script: what lies beside it can be imported.
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ModuleError(f"{path} can't be read as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _cannot_import(path, error) from error
    return module


def _cannot_import(name: str, error: Exception) -> ModuleError:
    """The error of a module whose own code failed, with the place where it did."""
    frames = traceback.extract_tb(error.__traceback__)
    # A syntax error says its place itself.
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames and not isinstance(error, SyntaxError) else ""
    return ModuleError(f"the module {name} can't be imported: {type(error).__name__}: {error}{where}")


def _awaited(payload: Any) -> Any:
    """A payload that has to be awaited, such as that of ``vm.repo(..)``."""
    if not inspect.isawaitable(payload):
        return payload

    async def wait() -> Any:
        return await payload

    # In a thread of its own, as this one may run an event loop already.
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, wait()).result()


def _takes_one(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind("")
    except TypeError:
        return False
    except ValueError:  # It has no signature that could be read.
        return True
    return True


def _sentence(error: BaseException) -> str:
    text = str(error).strip().rstrip(".")
    return text or type(error).__name__
