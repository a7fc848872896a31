"""Storage providers, which aren't needed: files move within the process, over the daemon's bus."""

from __future__ import annotations

from golem_tasks.yapapi._absent import STORAGE, absent
from golem_tasks.yapapi.script.command import DOWNLOAD_BYTES_LIMIT_DEFAULT

__all__ = [
    "ComposedStorageProvider",
    "Content",
    "DOWNLOAD_BYTES_LIMIT_DEFAULT",
    "Destination",
    "InputStorageProvider",
    "OutputStorageProvider",
    "Source",
    "StorageProvider",
]

ComposedStorageProvider = absent(__name__, "ComposedStorageProvider", STORAGE)
Content = absent(__name__, "Content", STORAGE)
Destination = absent(__name__, "Destination", STORAGE)
InputStorageProvider = absent(__name__, "InputStorageProvider", STORAGE)
OutputStorageProvider = absent(__name__, "OutputStorageProvider", STORAGE)
Source = absent(__name__, "Source", STORAGE)
StorageProvider = absent(__name__, "StorageProvider", STORAGE)
