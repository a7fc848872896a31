"""Virtual machines with an image."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Union

from golem_tasks.yapapi import _mode
from golem_tasks.yapapi._absent import absent
from golem_tasks.yapapi.payload import Payload
from golem_tasks.yapapi.payload.package import Package, PackageException, task_package
from golem_tasks.yapapi.props.builder import DemandBuilder
from golem_tasks.yapapi.props.inf import INF_CORES, RUNTIME_VM, InfBase, VmPackageFormat

if TYPE_CHECKING:
    from golem_tasks._native import PayloadSettings

__all__ = [
    "DEFAULT_REPOSITORY_URL",
    "INF_CORES",
    "InfVm",
    "RUNTIME_VM",
    "VM_CAPS_INET",
    "VM_CAPS_MANIFEST_SUPPORT",
    "VM_CAPS_VPN",
    "VmCaps",
    "VmManifest",
    "VmManifestRequest",
    "VmPackage",
    "VmPackageFormat",
    "VmRequest",
    "is_base64",
    "manifest",
    "repo",
]

DEFAULT_REPOSITORY_URL = "https://registry.golem.network"

VM_CAPS_VPN = "vpn"
VM_CAPS_INET = "inet"
VM_CAPS_MANIFEST_SUPPORT = "manifest-support"

#: A capability that a provider must have: ``vpn``, ``inet``, ``manifest-support``.
VmCaps = str

#: SHA-3 of 224, 256, 384 or 512 bits.
_HASH = re.compile(r"^(?:[0-9a-fA-F]{56}|[0-9a-fA-F]{64}|[0-9a-fA-F]{96}|[0-9a-fA-F]{128})$")
#: What a certificate in DER begins with.
_DER = b"\x30\x82"

_WAY_OUT = "Use `vm.repo(..)` or `vm.manifest(..)`, which return a payload."
VmRequest = absent(__name__, "VmRequest", _WAY_OUT)
VmManifestRequest = absent(__name__, "VmManifestRequest", _WAY_OUT)


@dataclass
class InfVm(InfBase):
    """The properties of an offered virtual machine."""

    runtime: str = "vm"


class _Machine(Payload):
    """A virtual machine, as the engine describes it."""

    def _plain(self) -> "PayloadSettings":
        raise NotImplementedError

    async def _settings(self) -> "PayloadSettings":
        return self._plain()

    def __golem_payload__(self) -> "PayloadSettings":
        """Return the payload as the other packages of golem-tasks take it."""
        return self._plain()

    async def decorate_demand(self, demand: DemandBuilder) -> None:
        """Add what the engine says of this machine to a demand."""
        from golem_tasks import _native

        try:
            resolved = await _native.resolve_payload(self._plain(), devnet=_mode.devnet_is_on())
        except _native.Error as error:
            raise PackageException(str(error)) from error
        demand.add_properties(resolved["properties"])
        if resolved.get("constraints"):
            demand.ensure(str(resolved["constraints"]))


@dataclass
class VmPackage(_Machine, Package):
    """A virtual machine with an image, as :func:`repo` makes it."""

    image: str
    image_url: Optional[str] = None
    https: bool = False
    repository_url: str = DEFAULT_REPOSITORY_URL
    min_mem_gib: float = 0.5
    min_storage_gib: float = 2.0
    min_cpu_threads: int = 1
    capabilities: Optional[List[str]] = None

    async def resolve_url(self) -> str:
        """Return the image as a demand names it. **Raises** :class:`PackageException` if it can't be found."""
        return await task_package(self._plain())

    def _plain(self) -> "PayloadSettings":
        settings = _machine(self.min_mem_gib, self.min_storage_gib, self.min_cpu_threads, self.capabilities)
        if self.image_url is not None:
            settings["image_url"], settings["image_hash"] = self.image_url, self.image
        else:
            settings["image"] = self.image
            if self.repository_url != DEFAULT_REPOSITORY_URL:
                settings["registry"] = self.repository_url
        if self.https:
            settings["https"] = True
        return settings


@dataclass
class VmManifest(_Machine):
    """A virtual machine with a computation manifest, as :func:`manifest` makes it."""

    manifest: str
    signature: Optional[bytes] = None
    algorithm: Optional[str] = None
    certificate: Optional[str] = None
    node_descriptor: Optional[Dict[str, Any]] = None
    min_mem_gib: float = 0.5
    min_storage_gib: float = 2.0
    min_cpu_threads: int = 1
    capabilities: Optional[List[str]] = None

    def _plain(self) -> "PayloadSettings":
        settings = _machine(self.min_mem_gib, self.min_storage_gib, self.min_cpu_threads, self.capabilities)
        settings["manifest"] = self.manifest
        if self.signature is not None:
            settings["manifest_signature"] = self.signature
        if self.certificate is not None:
            settings["manifest_certificate"] = self.certificate
        if self.algorithm is not None:
            settings["manifest_algorithm"] = self.algorithm
        if self.node_descriptor is not None:
            settings["manifest_node_descriptor"] = self.node_descriptor
        return settings


def _machine(mem: float, storage: float, threads: int, capabilities: Optional[List[str]]) -> "PayloadSettings":
    settings: "PayloadSettings" = {
        "min_mem_gib": float(mem),
        "min_storage_gib": float(storage),
        "min_cpu_threads": int(threads),
    }
    if capabilities:
        settings["capabilities"] = [str(capability) for capability in capabilities]
    return settings


async def repo(
    *,
    image_hash: Optional[str] = None,
    image_tag: Optional[str] = None,
    image_url: Optional[str] = None,
    image_use_https: bool = False,
    repository_url: str = DEFAULT_REPOSITORY_URL,
    dev_mode: bool = False,
    min_mem_gib: float = 0.5,
    min_storage_gib: float = 2.0,
    min_cpu_threads: int = 1,
    capabilities: Optional[List[VmCaps]] = None,
) -> VmPackage:
    """Return a virtual machine with an image.

    The image is named by its tag (``golem/blender:latest``) or its hash, or by ``image_url`` and ``image_hash``. The registry is asked when work
    begins; an image that it doesn't know raises :class:`PackageException` then.

    **Raises** :class:`PackageException` if the image isn't named in one of these ways.
    """
    if image_url is not None:
        if image_tag is not None:
            raise PackageException("An image has an `image_url` or an `image_tag`, not both.")
        if image_hash is None:
            raise PackageException("An `image_url` needs the `image_hash` of the image there.")
    elif image_hash is None and image_tag is None:
        raise PackageException("No image is named. Give either `image_hash` or `image_tag`.")
    elif image_hash is not None and image_tag is not None:
        raise PackageException("An image has an `image_hash` or an `image_tag`, not both.")
    if image_hash is not None and not _HASH.match(image_hash):
        raise PackageException(f"`{image_hash}` is not a hash of an image, which has 56, 64, 96 or 128 hexadecimal digits. Copy it whole.")
    image = image_hash if image_hash is not None else str(image_tag)
    return VmPackage(image, image_url, image_use_https, repository_url, min_mem_gib, min_storage_gib, min_cpu_threads, capabilities)


async def manifest(
    *,
    manifest: Union[str, bytes],
    manifest_sig: Optional[Union[str, bytes]] = None,
    manifest_sig_algorithm: Optional[str] = None,
    manifest_cert: Optional[Union[str, bytes]] = None,
    node_descriptor: Optional[Dict[str, Any]] = None,
    min_mem_gib: float = 0.5,
    min_storage_gib: float = 2.0,
    min_cpu_threads: int = 1,
    capabilities: Optional[List[VmCaps]] = None,
) -> VmManifest:
    """Return a virtual machine with a computation manifest: JSON, or its base64.

    The signature, its algorithm and the certificates belong together; a signature may be base64 text. Without a node descriptor and without
    them the manifest is unsigned, which providers accept only for harmless manifests.

    **Raises** :class:`ValueError` if one of the three is missing while another is given.
    """
    signed = (manifest_sig, manifest_sig_algorithm, manifest_cert)
    if any(part is not None for part in signed) and not all(part is not None for part in signed):
        raise ValueError("`manifest_sig`, `manifest_sig_algorithm` and `manifest_cert` belong together. Give all three or none.")
    if capabilities is None:
        capabilities = [VM_CAPS_INET] if node_descriptor is not None else [VM_CAPS_INET, VM_CAPS_MANIFEST_SUPPORT]
    return VmManifest(
        _text(manifest),
        None if manifest_sig is None else _signature(manifest_sig),
        manifest_sig_algorithm,
        None if manifest_cert is None else _certificate(manifest_cert),
        node_descriptor,
        min_mem_gib,
        min_storage_gib,
        min_cpu_threads,
        capabilities,
    )


def is_base64(s: Union[str, bytes]) -> bool:
    """Return whether this is base64."""
    try:
        base64.b64decode(s, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _text(value: Union[str, bytes]) -> str:
    return value if isinstance(value, str) else value.decode()


def _signature(value: Union[str, bytes]) -> bytes:
    """Return the bytes of a signature, which programs give as bytes or as base64."""
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("`manifest_sig` is text that isn't base64. Give the bytes of the signature, or their base64.") from error


def _certificate(value: Union[str, bytes]) -> str:
    """Return certificates as PEM text, which programs give as PEM, as DER, or as base64 of either."""
    raw = value.encode() if isinstance(value, str) else value
    if b"-----BEGIN" not in raw and not raw.startswith(_DER):
        try:
            raw = base64.b64decode(raw, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError("`manifest_cert` is neither PEM nor DER, nor base64 of one of them.") from error
    if raw.startswith(_DER):
        lines = base64.encodebytes(raw).decode()
        return f"-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n"
    return raw.decode()
