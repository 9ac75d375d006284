"""How whole an image is that was made under a running guest: a tag of the image and of its snapshots.

    no tag             the guest had shut down, or the instance was stopped: files are whole
    frozen             the guest's agent held its file systems still: files are whole, as far as programs had written them
    crash-consistent   as after a power cut, all disks at the same instant

EC2 has no field for it.
"""

from enum import StrEnum
from typing import Final

TAG: Final = "amiable:consistency"


class Consistency(StrEnum):
    """A value of the tag."""

    FROZEN = "frozen"
    CRASH_CONSISTENT = "crash-consistent"
