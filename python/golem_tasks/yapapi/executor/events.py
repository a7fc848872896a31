"""Events, under the name that yapapi 0.5 has for them."""

from __future__ import annotations

from golem_tasks.yapapi.events import *  # noqa: F403  # All of them have another name here.
