"""DescribeServiceCertificates over HTTP, which euca2ools calls where no ``--ec2cert`` is given; any account may ask."""

import base64
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from starlette.responses import Response

from amiable.model.errors import InvalidAction
from amiable.server import limits
from amiable.server.contracts import Authenticated
from amiable.server.forms import read_form
from amiable.services import Services
from amiable.wire import ec2_query
from amiable.wire import service_certificates as wire
from amiable.wire.service_certificates import ServiceCertificate, ServiceCertificatesRequest

DIGESTS: Final[dict[str, hashes.HashAlgorithm]] = {"SHA-1": hashes.SHA1(), "SHA-256": hashes.SHA256()}


async def handle(services: Services, request: Authenticated) -> Response:
    """The answer to one request; raises refusals."""
    root = await read_form(request, limits.QUERY_BODY_BYTES_MAX)
    action, _ = ec2_query.take_frame(root, wire.VERSIONS)
    if action != wire.ACTION:
        raise InvalidAction(action=action)
    body = wire.write_response(_find(services, wire.read_request(root)))
    return Response(body, headers={"Content-Type": ec2_query.CONTENT_TYPE})


def _find(services: Services, request: ServiceCertificatesRequest) -> list[ServiceCertificate]:
    """The image-bundling certificate, unless a filter leaves it out."""
    facts = {"service-type": "compute", "certificate-usage": "image-bundling"}
    if any(facts[name] not in values for name, values in request.filters.items()):
        return []
    pem = services.installation.bundling_pem
    certificate = x509.load_pem_x509_certificate(pem.encode())
    der = certificate.public_bytes(serialization.Encoding.DER)
    text = pem if request.format == "pem" else base64.b64encode(der).decode()
    fingerprint = certificate.fingerprint(DIGESTS[request.digest]).hex(":").upper()
    kind, usage = facts.values()
    return [ServiceCertificate(kind, usage, request.format, text, fingerprint, request.digest)]
