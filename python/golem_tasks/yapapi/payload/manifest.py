"""Computation manifests: what a payload may do, and where on the internet it may go."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional, Type, TypeVar, get_type_hints

from golem_tasks.yapapi._absent import absent
from golem_tasks.yapapi.utils import explode_dict

__all__ = [
    "Aliased",
    "CompManifest",
    "CompManifestNet",
    "CompManifestNetInet",
    "CompManifestNetInetOut",
    "CompManifestScript",
    "Manifest",
    "ManifestMetadata",
    "ManifestPayload",
    "ManifestPayloadPlatform",
    "parse_datetime",
]

Part = TypeVar("Part", bound="_Part")

Aliased = absent(__name__, "Aliased", "Derive from nothing: the parts of a manifest know their names in JSON.")

#: The names of fields that JSON spells differently.
_ALIASES = {"comp_manifest": "compManifest", "created_at": "createdAt", "expires_at": "expiresAt", "os_version": "osVersion"}
_FIELDS = {alias: name for name, alias in _ALIASES.items()}


def parse_datetime(date_str: str) -> datetime:
    """Read a time in RFC 3339."""
    return datetime.fromisoformat(date_str.replace("Z", "+00:00"))


class _Part:
    """A part of a manifest, which becomes a dict and is read from one."""

    def dict(self, *, by_alias: bool = False) -> Dict[str, Any]:
        """Return the part as a dict of plain values; ``by_alias`` with the names that JSON has. What is ``None`` is left out."""
        plain: Dict[str, Any] = {}
        for f in dataclasses.fields(self):  # type: ignore[arg-type]  # All parts are dataclasses.
            value = getattr(self, f.name)
            if value is not None:
                plain[_ALIASES.get(f.name, f.name) if by_alias else f.name] = _written(value, by_alias)
        return plain

    @classmethod
    def parse_obj(cls: Type[Part], obj: Dict[str, Any], *, by_alias: bool = False) -> Part:
        """Make the part from a dict; names of either kind are read. **Raises** :class:`TypeError` for unknown names."""
        hints = get_type_hints(cls)
        values = {}
        for key, value in obj.items():
            name = _FIELDS.get(key, key)
            if name not in hints:
                raise TypeError(f"`{key}` is not a field of `{cls.__name__}`.")
            values[name] = _parsed(hints[name], value, by_alias)
        return cls(**values)


def _written(value: Any, by_alias: bool) -> Any:
    if isinstance(value, _Part):
        return value.dict(by_alias=by_alias)
    if isinstance(value, list):
        return [_written(item, by_alias) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _parsed(hint: Any, value: Any, by_alias: bool) -> Any:
    options = [hint, *getattr(hint, "__args__", ())]
    part = next((o for o in options if isinstance(o, type) and issubclass(o, _Part)), None)
    if part is not None and isinstance(value, list):
        return [part.parse_obj(item, by_alias=by_alias) for item in value]
    if part is not None and isinstance(value, dict):
        return part.parse_obj(value, by_alias=by_alias)
    return parse_datetime(value) if datetime in options and isinstance(value, str) else value


@dataclass
class CompManifestScript(_Part):
    """The commands that may run."""

    commands: List[str] = field(default_factory=lambda: ["run .*"])
    #: ``strict`` or ``regex``.
    match: str = "regex"


@dataclass
class CompManifestNetInetOut(_Part):
    """The places on the internet that may be reached."""

    protocols: List[str] = field(default_factory=lambda: ["http", "https", "ws", "wss"])
    urls: Optional[List[str]] = None
    unrestricted: Optional[Any] = None


@dataclass
class CompManifestNetInet(_Part):
    """The use of the internet."""

    out: Optional[CompManifestNetInetOut] = None


@dataclass
class CompManifestNet(_Part):
    """The use of networks."""

    inet: Optional[CompManifestNetInet] = None


@dataclass
class CompManifest(_Part):
    """The permissions of the computation."""

    version: str = "0.0.0"
    script: Optional[CompManifestScript] = None
    net: Optional[CompManifestNet] = None


@dataclass
class ManifestPayloadPlatform(_Part):
    """The platform of an image."""

    arch: str = "x86_64"
    os: str = "linux"
    os_version: Optional[str] = None


@dataclass
class ManifestPayload(_Part):
    """An image: its hash and where it is."""

    hash: str
    urls: List[str] = field(default_factory=list)
    platform: Optional[ManifestPayloadPlatform] = field(default_factory=ManifestPayloadPlatform)

    async def resolve_urls_from_hash(self) -> None:
        """Ask the registry where the image is, and add the address if it is new."""
        from golem_tasks.yapapi.payload.package import task_package

        image_hash = self.hash.rpartition(":")[2]
        package = await task_package({"image": image_hash})
        url = package.split(":", 3)[3]
        self.hash = f"sha3:{image_hash}"
        if url not in self.urls:
            self.urls.append(url)


@dataclass
class ManifestMetadata(_Part):
    """The author and the purpose of the manifest."""

    name: str
    version: str
    authors: List[str] = field(default_factory=list)
    homepage: Optional[str] = None
    description: Optional[str] = None


@dataclass
class Manifest(_Part):
    """A computation manifest. ``vm.manifest(manifest=json.dumps(m.dict(by_alias=True)), ..)`` takes it."""

    payload: List[ManifestPayload]
    version: str = "0.0.0"
    comp_manifest: Optional[CompManifest] = None
    created_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    expires_at: datetime = datetime(2100, 1, 1, tzinfo=timezone.utc)
    metadata: Optional[ManifestMetadata] = None

    @classmethod
    async def generate(cls, image_hash: Optional[str] = None, outbound_urls: Optional[List[str]] = None, **kwargs: Any) -> "Manifest":
        """Make a manifest for an image that may reach these addresses.

        ``kwargs`` set any field, with dots between the names: ``**{"metadata.name": "crawler", "metadata.version": "1.0"}``.
        """
        given = explode_dict(kwargs)
        if image_hash is not None:
            given.setdefault("payload", [{}])[0]["hash"] = image_hash
        if outbound_urls is not None:
            comp = given.setdefault("comp_manifest", {})
            comp.setdefault("net", {}).setdefault("inet", {}).setdefault("out", {})["urls"] = outbound_urls
        comp = given.setdefault("comp_manifest", {})
        comp.setdefault("script", {})
        comp.setdefault("net", {}).setdefault("inet", {}).setdefault("out", {})
        manifest = cls.parse_obj(given)
        for image in manifest.payload:
            await image.resolve_urls_from_hash()
        return manifest
