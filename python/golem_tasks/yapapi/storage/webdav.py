"""The WebDAV provider, which isn't available."""

from __future__ import annotations

from golem_tasks.yapapi._absent import STORAGE, absent

__all__ = ["DavResource", "DavStorageProvider"]

DavResource = absent(__name__, "DavResource", STORAGE)
DavStorageProvider = absent(__name__, "DavStorageProvider", STORAGE)
