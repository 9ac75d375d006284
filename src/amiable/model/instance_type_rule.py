"""Which instance types an image's owner lets it be launched on; ``*`` stands for any characters.

Source: EC2 API, ReplaceImageInstanceTypeSpecification.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class InstanceTypeRule:
    """Both lists in the owner's order; both empty: every type may launch the image."""

    supported: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()


NO_RULE: Final = InstanceTypeRule()
