"""Lets a clone's sources use the native library of the package that is installed.

Python that is started in the folder ``python`` of a clone, for the examples there, finds these sources before the installed package. They have no native
library beside them, so it is looked for wherever else the package is.
"""

import sys
from pkgutil import extend_path

_package = sys.modules["golem_tasks"]
_package.__path__ = extend_path(_package.__path__, "golem_tasks")
