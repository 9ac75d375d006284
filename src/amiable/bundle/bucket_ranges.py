"""Ranges of a bundle's parts straight out of a bucket: ``GET`` with ``Range``, so that a random read fetches about a megabyte."""

from botocore.exceptions import ClientError

from amiable.bundle.random_access import RangeReader
from amiable.bundle.transfer import S3, Patience, Place, is_absent
from amiable.bundle.whole_answers import read_body
from amiable.model.errors import BundleRefusal

HTTP_RANGE_NOT_SATISFIABLE = 416


def bucket_ranges(s3: S3, place: Place, patience: Patience) -> RangeReader:
    """Reads ranges of the parts at ``place``; what fails transiently is tried again."""

    def read_range(filename: str, offset: int, size: int) -> bytes:
        def get() -> bytes:
            wanted = f"bytes={offset}-{offset + size - 1}"
            answer = s3.get_object(Bucket=place.bucket, Key=place.key(filename), Range=wanted)
            if not str(answer.get("ContentRange", "")).startswith(f"bytes {offset}-"):
                answer["Body"].close()
                raise BundleRefusal("parts", f"The server of s3://{place.location(filename)} answers no ranges.")
            return read_body(answer["Body"], size)

        try:
            return patience.run(filename, get)
        except ClientError as error:
            if is_absent(error):
                raise BundleRefusal("parts", f"Part {filename} is missing.") from error
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == HTTP_RANGE_NOT_SATISFIABLE:
                return b""
            raise

    return read_range
