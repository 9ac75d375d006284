"""How RunInstances may name an image, besides by its id.

    resolve:ssm:NAME[:VERSION]          the image that a parameter of data type aws:ec2:image names, at the moment of the launch
    resolve:digest:sha256:HEX           an image of this content digest

No other call resolves: there such a name is no image id.  Source: EC2 User Guide, "Use a Systems Manager parameter to find an AMI".
"""

from dataclasses import dataclass
from typing import Final

from amiable.model import ids
from amiable.model.errors import Malformed
from amiable.rules.image_digest import read_digest

BY_PARAMETER: Final = "resolve:ssm:"
BY_DIGEST: Final = "resolve:digest:"


@dataclass(frozen=True, slots=True)
class Alias:
    """One of the three."""

    image_id: str | None = None
    parameter: str | None = None
    digest: bytes | None = None


def read_alias(text: str) -> Alias:
    """What ``text`` names; raises InvalidAMIID.Malformed."""
    if text.startswith(BY_PARAMETER) and len(text) > len(BY_PARAMETER):
        return Alias(parameter=text.removeprefix(BY_PARAMETER))
    if text.startswith(BY_DIGEST):
        digest = read_digest(text.removeprefix(BY_DIGEST))
        if digest is not None:
            return Alias(digest=digest)
    if not ids.is_well_formed(ids.AMI, text):
        raise Malformed("image", text, ids.AMI)
    return Alias(image_id=text)
