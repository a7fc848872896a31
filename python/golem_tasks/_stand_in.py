"""Puts one of our packages in another one's place, so that a program that imports the other one runs unchanged.

It is for a process that runs such a program, as ``python -m golem_tasks run`` does: nothing is changed on disk, and the other package need not
be installed.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Optional


def stand_in(name: str, ours: str) -> None:
    """Makes ``import name`` give the package ``ours``, and each submodule of it ours of the same name.

    An import of a submodule that ours lacks raises :class:`ModuleNotFoundError` with a sentence that says so. Doing it twice changes nothing.
    """
    if any(isinstance(finder, _Finder) and finder.name == name for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder(name, ours))
    for loaded in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
        # What was imported of the other package before would be mixed with ours.
        del sys.modules[loaded]


def submodules(package: str) -> list[str]:
    """The names of all modules of a package, without the package's own in front, private ones left out."""
    root = importlib.import_module(package)
    found = pkgutil.walk_packages(root.__path__, f"{package}.")
    names = [module.name[len(package) + 1 :] for module in found]
    return sorted(name for name in names if not any(part.startswith("_") for part in name.split(".")))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of a package in ours."""

    def __init__(self, name: str, ours: str) -> None:
        self.name = name
        self._ours = ours

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]] = None, target: Optional[ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        if fullname != self.name and not fullname.startswith(f"{self.name}."):
            return None
        ours = self._ours + fullname[len(self.name) :]
        if importlib.util.find_spec(ours) is None:
            raise ModuleNotFoundError(
                f"{self._ours}, which stands in for {self.name} here, has no module {fullname}. "
                "docs/python.md lists what there is and what to use instead.",
                name=fullname,
            )
        return importlib.machinery.ModuleSpec(fullname, _Loader(ours), is_package=_is_package(ours))


class _Loader(importlib.abc.Loader):
    """Gives the one module of ours under the other name, too."""

    def __init__(self, ours: str) -> None:
        self._ours = ours
        self._spec: Optional[importlib.machinery.ModuleSpec] = None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._ours)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # It has been executed under its own name, which it keeps.
        module.__spec__ = self._spec


def _is_package(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.submodule_search_locations is not None
