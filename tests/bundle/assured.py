"""A bundle with its sidecar, for the tests of both, and ways to make the sidecar lie."""

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from amiable.bundle import keys
from amiable.bundle.assurance import PAYLOAD_TYPE, Assurance, read_assurance
from amiable.bundle.dsse import PrivateKey, load_signing_key, load_trusted_keys, write_envelope
from amiable.bundle.pipeline import Recipe, create
from amiable.bundle.recorder import Recorder
from amiable.bundle.unbundle import read_bundle, unwrap_keys
from amiable.model.manifest import Manifest
from amiable.model.units import MIB

NAME = "disk.img"
SIZE = 40 * MIB + 5


@dataclass(frozen=True)
class Made:
    """A bundle with its sidecar; two parts, for most of its data does not compress."""

    folder: Path
    image: Path
    manifest: Manifest
    document: bytes
    sidecar: bytes
    assurance: Assurance
    secrets: tuple[bytes, bytes]
    pem: Callable[[str], bytes]

    @property
    def manifest_path(self) -> Path:
        return self.folder / f"{NAME}.manifest.xml"

    def key(self) -> PrivateKey:
        return load_signing_key(self.pem("user.key"))

    def read(self, sidecar: bytes) -> Assurance:
        return read_assurance(sidecar, load_trusted_keys(self.pem("user.crt")), self.manifest, self.document)

    def statement(self) -> Any:
        return json.loads(base64.b64decode(json.loads(self.sidecar)["payload"]))

    def signed(self, payload: object) -> bytes:
        """An envelope of the user's around ``payload``, whatever it is."""
        return write_envelope(json.dumps(payload).encode(), PAYLOAD_TYPE, [self.key()])

    def sealed(self, document: object) -> Assurance:
        """The sidecar, its sealed part saying ``document``."""
        plain = document if isinstance(document, bytes) else msgspec.msgpack.encode(document)
        nonce = os.urandom(12)
        return replace(self.assurance, sealed=nonce + AESGCM(self.sealing_key()).encrypt(nonce, plain, None))

    def sealing_key(self) -> bytes:
        key, iv = self.secrets
        return HKDF(hashes.SHA256(), 32, salt=iv, info=b"amiable-bundle-assurance-v1").derive(key)

    def tables(self) -> dict[str, Any]:
        """What is sealed."""
        sealed = self.assurance.sealed
        return dict(msgspec.msgpack.decode(AESGCM(self.sealing_key()).decrypt(sealed[:12], sealed[12:], None)))


def make_assured(folder: Path, pem: Callable[[str], bytes], image: Path) -> Made:
    """Bundles ``image`` into ``folder``, with its sidecar, and opens both."""
    recipe = Recipe(image, NAME, "123456789012", "x86_64", pem("user.crt"), pem("user.key"), pem("ec2.crt"))
    with Recorder() as recorder:
        path = create(recipe, folder, recorder=recorder)
    manifest, document = read_bundle(path, pem("user.crt")), path.read_bytes()
    sidecar = (folder / f"{NAME}.assurance.json").read_bytes()
    assurance = read_assurance(sidecar, load_trusted_keys(pem("user.crt")), manifest, document)
    secrets = unwrap_keys(manifest, keys.load_private_key(pem("user.key")))
    return Made(folder, image, manifest, document, sidecar, assurance, secrets, pem)
