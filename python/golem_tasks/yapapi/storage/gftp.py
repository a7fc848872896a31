"""The gftp provider, which isn't needed."""

from __future__ import annotations

from golem_tasks.yapapi._absent import STORAGE, absent

__all__ = ["GftpDestination", "GftpDriver", "GftpProvider", "GftpSource", "PubLink", "read_use_gftp_close_env_var", "provider", "service"]

GftpDestination = absent(__name__, "GftpDestination", STORAGE)
GftpDriver = absent(__name__, "GftpDriver", STORAGE)
GftpProvider = absent(__name__, "GftpProvider", STORAGE)
PubLink = absent(__name__, "PubLink", STORAGE)
read_use_gftp_close_env_var = absent(__name__, "read_use_gftp_close_env_var", STORAGE)
GftpSource = absent(__name__, "GftpSource", STORAGE)
provider = absent(__name__, "provider", STORAGE)
service = absent(__name__, "service", STORAGE)
