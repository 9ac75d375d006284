"""A watermark: a mark that an image's owner puts on it, and that every copy and every image made from it keeps.

Its key is ``account:name``, the account being the one that attached it first.  Source: EC2 API, ImageWatermark.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Watermark:
    name: str
    account_id: str
    source_image_id: str  # the image that it was attached to first, in whose region, and since when that one is
    source_image_region: str
    source_image_created_at: datetime
    created_at: datetime

    @property
    def key(self) -> str:
        return f"{self.account_id}:{self.name}"
