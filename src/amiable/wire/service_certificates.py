"""DescribeServiceCertificates: how euca2ools asks a cloud for the certificate that bundle keys are wrapped for.

A form signed by version 4 for the service ``bootstrap``, ``Version=eucalyptus``, at whatever path the tool was told (``--bootstrap-url``,
``EUCA_BOOTSTRAP_URL``); it takes the item whose usage is ``image-bundling`` and whose service type is ``compute``.

<DescribeServiceCertificatesResponse xmlns="http://msgs.eucalyptus.com/eucalyptus"><serviceCertificates><item>
  <serviceType>compute</serviceType> <certificateUsage>image-bundling</certificateUsage> <certificateFormat>pem</certificateFormat>
  <certificate>…</certificate> <certificateFingerprint>AB:CD:…</certificateFingerprint>
  <certificateFingerprintDigest>SHA-256</certificateFingerprintDigest>
</item></serviceCertificates></DescribeServiceCertificatesResponse>

Source: euca2ools 3.4 ``commands/bootstrap``, ``commands/bundle/mixins.py`` (BSD); the message types of Eucalyptus's bootstrap service.
"""

from dataclasses import dataclass, field
from typing import Final

from amiable.model.errors import InvalidParameterValue, UnknownParameter
from amiable.wire.ec2_query import DECLARATION
from amiable.wire.parameters import Node
from amiable.wire.scalars import xml_text

ACTION: Final = "DescribeServiceCertificates"
VERSIONS: Final = frozenset({"eucalyptus"})
NAMESPACE: Final = "http://msgs.eucalyptus.com/eucalyptus"
FORMATS: Final = ("pem", "der")
DIGESTS: Final = ("SHA-256", "SHA-1")


@dataclass(frozen=True, slots=True)
class ServiceCertificatesRequest:
    """What is asked: how to write the certificate, and which (filter name → values, any of which fits)."""

    format: str = "pem"
    digest: str = "SHA-256"
    filters: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceCertificate:
    """One certificate of the cloud; its attributes in the order in which they are written."""

    service_type: str
    usage: str
    format: str
    text: str
    fingerprint: str
    digest: str


def read_request(root: Node) -> ServiceCertificatesRequest:
    """The request; refuses unknown parameters, filters, formats and digests."""
    children = dict(root.children)
    format_ = _choice(children.pop("Format", None), "Format", FORMATS)
    digest = _choice(children.pop("FingerprintDigest", None), "FingerprintDigest", DIGESTS)
    filters: dict[str, list[str]] = {}
    for one in children.pop("Filter", Node()).children.values():
        name = one.children.get("Name", Node()).value
        if name not in ("service-type", "certificate-usage"):
            raise InvalidParameterValue(parameter="Filter", value=name, why="Unknown filter.")
        filters[name] = [value.value or "" for value in one.children.get("Value", Node()).children.values()]
    if children:
        raise UnknownParameter(parameter=next(iter(children)))
    return ServiceCertificatesRequest(format_, digest, filters)


def write_response(found: list[ServiceCertificate]) -> bytes:
    """The answer's XML."""
    items = "".join(f"<item>{_item(one)}</item>" for one in found)
    return (
        f'{DECLARATION}<{ACTION}Response xmlns="{NAMESPACE}"><return>true</return>'
        f"<serviceCertificates>{items}</serviceCertificates></{ACTION}Response>"
    ).encode()


def _item(one: ServiceCertificate) -> str:
    said = {
        "serviceType": one.service_type,
        "certificateUsage": one.usage,
        "certificateFormat": one.format,
        "certificate": one.text,
        "certificateFingerprint": one.fingerprint,
        "certificateFingerprintDigest": one.digest,
    }
    return "".join(f"<{name}>{xml_text(value)}</{name}>" for name, value in said.items())


def _choice(node: Node | None, name: str, words: tuple[str, ...]) -> str:
    """The one of ``words`` that was sent, in any case; the first without one."""
    if node is None:
        return words[0]
    for word in words:
        if word.lower() == (node.value or "").lower():
            return word
    raise InvalidParameterValue(parameter=name, value=node.value, why=f"Expecting one of {', '.join(words)}.")
