"""The machine and its runtime in offers and demands."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from golem_tasks.yapapi.props.base import Model, prop

__all__ = ["ExeUnitManifestRequest", "ExeUnitRequest", "InfBase", "VmPackageFormat", "VmRequest", "WasmInterface"]

INF_MEM = "golem.inf.mem.gib"
INF_STORAGE = "golem.inf.storage.gib"
INF_CORES = "golem.inf.cpu.cores"
INF_THREADS = "golem.inf.cpu.threads"
INF_RUNTIME_NAME = "golem.runtime.name"
TRANSFER_CAPS = "golem.activity.caps.transfer.protocol"

RUNTIME_WASMTIME = "wasmtime"
RUNTIME_EMSCRIPTEN = "emscripten"
RUNTIME_VM = "vm"


class WasmInterface(enum.Enum):
    """The interfaces of programs in WebAssembly."""

    WASI_0 = "0"
    WASI_0preview1 = "0preview1"


class VmPackageFormat(enum.Enum):
    """The format of an image."""

    UNKNOWN = None
    GVMKIT_SQUASH = "gvmkit-squash"


@dataclass
class InfBase(Model):
    """The properties of an offered machine: runtime, memory and storage in GiB, ways to move files."""

    mem: float = prop(INF_MEM)
    runtime: str = prop(INF_RUNTIME_NAME)
    storage: Optional[float] = prop(INF_STORAGE, default=None)
    transfers: Optional[List[str]] = prop(TRANSFER_CAPS, default=None)


@dataclass
class ExeUnitRequest(Model):
    """The image in a demand, as ``hash:sha3:<hash>:<url>``."""

    package_url: str = prop("golem.srv.comp.task_package")


@dataclass
class VmRequest(ExeUnitRequest):
    """The image in a demand for a virtual machine."""

    package_format: VmPackageFormat = prop("golem.srv.comp.vm.package_format", default=VmPackageFormat.GVMKIT_SQUASH)


@dataclass
class ExeUnitManifestRequest(Model):
    """A computation manifest in a demand, with its signature."""

    manifest: str = prop("golem.srv.comp.payload")
    manifest_sig: Optional[str] = prop("golem.srv.comp.payload.sig", default=None)
    manifest_sig_algorithm: Optional[str] = prop("golem.srv.comp.payload.sig.algorithm", default=None)
    manifest_cert: Optional[str] = prop("golem.srv.comp.payload.cert", default=None)
    package_format: VmPackageFormat = prop("golem.srv.comp.vm.package_format", default=VmPackageFormat.GVMKIT_SQUASH)
    node_descriptor: Optional[Dict[str, Any]] = prop("golem.!exp.gap-31.v0.node.descriptor", default=None)
