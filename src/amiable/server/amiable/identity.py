"""What instances' identity documents are verified by: ``/amiable/v1/instance-identity``."""

from typing import Final

from amiable.server.amiable.calls import Answer, Routes
from amiable.server.contracts import Authenticated
from amiable.services import Services
from amiable.services.identity_signer import open_signer


def _show(services: Services, _request: Authenticated, _id: str, _body: bytes) -> Answer:
    return {
        "RsaCertificate": open_signer(services, "rsa").pem,
        "DsaCertificate": open_signer(services, "dsa").pem,
        "CaCertificate": services.installation.ca_pem,
    }


ROUTES: Final[Routes] = {("GET", "instance-identity"): _show}
