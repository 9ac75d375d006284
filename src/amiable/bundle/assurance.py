"""The sidecar of a bundle, ``NAME.assurance.json``: SHA-256s and tables that the classic format has no room for.

    DSSE envelope, signed by the user's X.509 key or an Ed25519 key
    └─ in-toto Statement v1
       ├─ subject         SHA-256 of the manifest and of every part, by file name
       └─ predicate       sizes, SHA-256 of the tar stream; sealed: content digest of the image, extents, chunks, blocks

The sidecar lies beside the manifest and names it by its SHA-256: it is another bundle's, or the manifest was changed, where that does
not fit.  Readers that do not know it ignore it.  ``docs/formats/assurance.md`` is the format; ``assurance_tables`` has what is sealed.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, BinaryIO, Final, Protocol, cast

import msgspec
from msgspec import Meta

from amiable.bundle.assurance_tables import Contents, seal
from amiable.bundle.block_digests import BlockDigests
from amiable.bundle.dsse import (
    ENVELOPE_BYTES_MAX,
    WAIVING,
    PrivateKey,
    PublicKey,
    fault,
    open_envelope,
    read_json,
    write_envelope,
)
from amiable.bundle.manifest_xml import IMAGE_BYTES_MAX, PARTS_MAX, load_document, read_manifest
from amiable.bundle.parts import AES_BLOCK, PartOpener
from amiable.bundle.recorder import Recorder
from amiable.bundle.regular_file import open_regular
from amiable.model.manifest import Manifest
from amiable.model.units import PART_BYTES
from amiable.rules.content_digest import ContentDigest

SUFFIX: Final = ".assurance.json"
MANIFEST_SUFFIX: Final = ".manifest.xml"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:amiable:bundle-assurance:v1"

_Size = Annotated[int, Meta(ge=1, le=2 * IMAGE_BYTES_MAX)]


class _Digest(msgspec.Struct, frozen=True):
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class _Subject(msgspec.Struct, frozen=True):
    name: str
    digest: _Digest


class _Predicate(msgspec.Struct, frozen=True, rename="camel"):
    image_bytes: _Size
    bundled_bytes: _Size
    part_bytes: Annotated[int, Meta(ge=AES_BLOCK, le=1 << 40)]
    tar_stream: _Digest
    sealed: bytes


class _Kind(msgspec.Struct, frozen=True, rename={"type": "_type", "predicate_type": "predicateType"}):
    """What a statement says it is; read before the rest."""

    type: str
    predicate_type: str


class _Statement(msgspec.Struct, frozen=True, rename={"type": "_type", "predicate_type": "predicateType"}):
    type: str
    subject: Annotated[list[_Subject], Meta(max_length=2 * PARTS_MAX)]
    predicate_type: str
    predicate: _Predicate


@dataclass(frozen=True, slots=True)
class Assurance:
    """What a verified sidecar says of its bundle.  ``part_sha256s`` are by file name, ``sealed`` opens with the bundle's key."""

    manifest_sha256: bytes
    part_sha256s: dict[str, bytes]
    image_bytes: int
    bundled_bytes: int
    part_bytes: int
    stream_sha256: bytes
    sealed: bytes


def sidecar_name(manifest_name: str) -> str:
    """The file name of the sidecar of the manifest ``manifest_name``."""
    return manifest_name.removesuffix(MANIFEST_SUFFIX) + SUFFIX


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def write_sidecar(recorder: Recorder, document: bytes, signing_keys: Sequence[PrivateKey]) -> bytes:
    """The sidecar of the bundle that ``recorder`` was told of, whose manifest is ``document``."""
    manifest = read_manifest(document)
    return write_assurance(_describe(recorder, manifest, document), manifest.name + MANIFEST_SUFFIX, signing_keys)


def _describe(recorder: Recorder, manifest: Manifest, document: bytes) -> Assurance:
    assert len(recorder.part_digests) == len(manifest.parts)
    assert recorder.stream_digest and recorder.size_bytes == manifest.size_bytes
    return Assurance(
        manifest_sha256=hashlib.sha256(document).digest(),
        part_sha256s={part.filename: sha for part, sha in zip(manifest.parts, recorder.part_digests, strict=True)},
        image_bytes=manifest.size_bytes,
        bundled_bytes=manifest.bundled_size_bytes,
        part_bytes=PART_BYTES,
        stream_sha256=recorder.stream_digest,
        sealed=seal(recorder),
    )


def write_assurance(assurance: Assurance, manifest_name: str, private_keys: Sequence[PrivateKey]) -> bytes:
    """The document of the sidecar, signed by each of ``private_keys``."""
    digests = {manifest_name: assurance.manifest_sha256, **assurance.part_sha256s}
    statement = _Statement(
        STATEMENT_TYPE,
        [_Subject(name, _Digest(sha256.hex())) for name, sha256 in digests.items()],
        PREDICATE_TYPE,
        _Predicate(
            image_bytes=assurance.image_bytes,
            bundled_bytes=assurance.bundled_bytes,
            part_bytes=assurance.part_bytes,
            tar_stream=_Digest(assurance.stream_sha256.hex()),
            sealed=assurance.sealed,
        ),
    )
    return write_envelope(msgspec.json.encode(statement), PAYLOAD_TYPE, private_keys)


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_assurance(
    sidecar: bytes, trusted: Sequence[PublicKey], manifest: Manifest, manifest_document: bytes
) -> Assurance:
    """What ``sidecar`` says of the bundle whose manifest is ``manifest_document``.

    Raises BundleRefusal at stage assurance where no key of ``trusted`` signed it, or where it does not fit the manifest.
    """
    payload = open_envelope(sidecar, PAYLOAD_TYPE, trusted)
    kind = read_json(payload, _Kind)
    if (kind.type, kind.predicate_type) != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise fault(f"The sidecar states {kind.predicate_type[:80]!r}, which is not {PREDICATE_TYPE}.")
    statement = read_json(payload, _Statement)
    digests = {subject.name: bytes.fromhex(subject.digest.sha256) for subject in statement.subject}
    if len(digests) != len(statement.subject):
        raise fault("The sidecar names a file twice.")
    manifest_sha256 = hashlib.sha256(manifest_document).digest()
    if manifest_sha256 not in digests.values():
        raise fault(
            "The assurance sidecar belongs to another manifest: the SHA-256 differs.",
            "Whoever changes a manifest makes its sidecar anew, or removes it.",
        )
    predicate = statement.predicate
    found = Assurance(
        manifest_sha256=manifest_sha256,
        part_sha256s={part.filename: digests[part.filename] for part in manifest.parts if part.filename in digests},
        image_bytes=predicate.image_bytes,
        bundled_bytes=predicate.bundled_bytes,
        part_bytes=predicate.part_bytes,
        stream_sha256=bytes.fromhex(predicate.tar_stream.sha256),
        sealed=predicate.sealed,
    )
    _check_manifest(found, manifest)
    return found


def _check_manifest(assurance: Assurance, manifest: Manifest) -> None:
    if (assurance.image_bytes, assurance.bundled_bytes) != (manifest.size_bytes, manifest.bundled_size_bytes):
        raise fault("The sidecar's sizes are not the manifest's.")
    missing = [part.filename for part in manifest.parts if part.filename not in assurance.part_sha256s]
    if missing:
        raise fault(f"The sidecar has no SHA-256 of part {missing[0]}.")
    if -(-assurance.bundled_bytes // assurance.part_bytes) != len(manifest.parts):
        raise fault(f"The sidecar's parts of {assurance.part_bytes} bytes are not the manifest's.")


def read_beside(manifest_path: Path, manifest: Manifest, trusted: Sequence[PublicKey]) -> Assurance | None:
    """What the sidecar beside ``manifest_path`` says, verified; ``None`` where none lies there.

    ``manifest`` was read from that path before; it is read again, and must be the same.
    """
    sidecar = _read_file(manifest_path.with_name(sidecar_name(manifest_path.name)))
    if sidecar is None:
        return None
    document = load_document(manifest_path)
    if read_manifest(document) != manifest:
        raise fault("The manifest was changed while it was read.")
    return read_assurance(sidecar, trusted, manifest, document)


def _read_file(path: Path) -> bytes | None:
    try:
        descriptor = open_regular(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise fault(f"The assurance sidecar {path} cannot be read: {error.strerror}.", WAIVING) from error
    with os.fdopen(descriptor, "rb") as file:
        return file.read(ENVELOPE_BYTES_MAX + 1)


# ── checking while a bundle is opened ───────────────────────────────────────────────────────────────────────────────────


class _Reader(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


class _CheckedPart:
    """A part's bytes as they are read; at their end their SHA-256 has been checked.  All of ``BinaryIO`` that readers of parts use."""

    def __init__(self, stream: _Reader, filename: str, sha256: bytes) -> None:
        self._stream = stream
        self._filename = filename
        self._expected = sha256
        self._digest = hashlib.sha256()

    def __enter__(self) -> "_CheckedPart":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def close(self) -> None:
        self._stream.close()

    def read(self, size: int, /) -> bytes:
        piece = self._stream.read(size)
        self._digest.update(piece)
        if not piece and self._digest.digest() != self._expected:
            raise fault(
                f"Part {self._filename} is not the one that was bundled: its SHA-256 is not the sidecar's.",
                "Its SHA-1 may still fit: two parts with the same SHA-1 can be made on purpose.",
            )
        return piece


def checked_opener(assurance: Assurance, opener: PartOpener) -> PartOpener:
    """Parts of ``opener`` that refuse to end, at stage assurance, where their SHA-256 is not the sidecar's."""

    def open_part(filename: str) -> BinaryIO:
        if filename not in assurance.part_sha256s:
            raise fault(f"The sidecar has no SHA-256 of part {filename}.")
        return cast(BinaryIO, _CheckedPart(opener(filename), filename, assurance.part_sha256s[filename]))

    return open_part


class Watch:
    """Checks what is opened against a sidecar: every part, the tar stream and the image.  A context manager, that its threads end."""

    def __init__(self, assurance: Assurance, contents: Contents) -> None:
        self._assurance = assurance
        self._expected = contents.content_digest
        self._content = ContentDigest(assurance.image_bytes)
        self._stream = hashlib.sha256()
        self._blocks = BlockDigests(self._content.add)

    def __enter__(self) -> "Watch":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._blocks.__exit__(kind, error, traceback)

    def data(self, offset: int, data: bytes) -> None:
        """``data`` lies at ``offset`` of the image; offsets rise, and what is not given is zeros."""
        self._blocks.add(offset, data)

    def stream(self, piece: bytes) -> None:
        """``piece`` comes next in the tar stream."""
        self._stream.update(piece)

    def finish(self) -> None:
        """Refuses, at stage assurance, what was not the stream or the image that was bundled."""
        if self._stream.digest() != self._assurance.stream_sha256:
            raise fault("The tar stream is not the one that was bundled: its SHA-256 is not the sidecar's.")
        self._blocks.finish()
        if self._content.digest() != self._expected:
            raise fault("The image is not the one that was bundled: its content digest is not the sidecar's.")
