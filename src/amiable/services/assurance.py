"""A bundle's assurance sidecar as the image service reads it from beside the manifest."""

import hashlib
from dataclasses import dataclass

from amiable.bundle.assurance import Assurance, read_assurance, sidecar_name
from amiable.bundle.dsse import ENVELOPE_BYTES_MAX, load_trusted_keys
from amiable.database import accounts
from amiable.model.errors import InvalidManifest, S3Refusal
from amiable.model.manifest import Manifest
from amiable.services import Services
from amiable.services.manifests import split_location
from amiable.services.objects import open_object


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A verified sidecar, and the SHA-256 of its document."""

    assurance: Assurance
    digest: bytes


def read_sidecar(
    services: Services, account_id: str, location: str, manifest: Manifest, document: bytes
) -> Sidecar | None:
    """The sidecar of the bundle whose manifest at ``location`` is ``document``, signed by a certificate of the account's.

    ``None`` where there is none that the image service may read.  One that is a stranger's, or of another manifest, is refused.
    """
    bucket, key = split_location(location)
    folder, slash, name = key.rpartition("/")
    sidecar_key = f"{folder}{slash}{sidecar_name(name)}"
    try:
        with open_object(services, account_id, bucket, sidecar_key, as_service=True) as source:
            if source.size_bytes > ENVELOPE_BYTES_MAX:
                raise InvalidManifest(
                    f"The object s3://{bucket}/{sidecar_key} has {source.size_bytes} bytes; "
                    f"an assurance sidecar has {ENVELOPE_BYTES_MAX} at most."
                )
            sidecar = source.stream.read()
    except S3Refusal:
        return None
    with services.database.read() as c:
        certificates = accounts.signing_certificates(c, account_id)
    assurance = read_assurance(sidecar, load_trusted_keys("\n".join(certificates)), manifest, document)
    return Sidecar(assurance, hashlib.sha256(sidecar).digest())
