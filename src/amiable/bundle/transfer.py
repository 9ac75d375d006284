"""What every transfer of a bundle rests on: a place in a bucket, patience with what passes, several things at once.

The S3 client is a value that the caller made (boto3's, told not to retry): endpoint, credentials and region are its affair.  Only
failures that pass by themselves are tried again: a lost connection, a busy or broken server, a body damaged under way.  What the
server refused stays refused.
"""

import random
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar
from xml.etree.ElementTree import ParseError

from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
    SSLError,
)
from botocore.exceptions import (
    ConnectionError as ConnectionLost,
)
from botocore.parsers import ResponseParserError

from amiable.model.errors import LocalRefusal

T = TypeVar("T")
R = TypeVar("R")

S3 = Any
"""A boto3 client of S3, of :func:`amiable.bundle.whole_answers.whole_answers`."""

WORKERS: Final = 4
KEYS_MAX: Final = 200_000
"""More keys under one prefix than these are not looked through."""

EXIT_OTHER_LOCATION: Final = 10
"""ec2-upload-bundle's own exit code for a bucket in another location."""

DEFAULT_LOCATION: Final = "us-east-1"
_PART_NAME: Final = re.compile(r"[A-Za-z0-9_][ -.0-~]{0,230}\.part\.[0-9]{1,6}")
"""Printable ASCII without a slash, hidden nowhere: no writer of bundles goes beyond."""

_LOCATION_ALIASES: Final = {"": DEFAULT_LOCATION, "US": DEFAULT_LOCATION, "EU": "eu-west-1"}
_TRANSIENT_STATUS: Final = (429, 500, 502, 503, 504)
_TRANSIENT_CODES: Final = frozenset({"RequestTimeout", "SlowDown", "BadDigest", "IncompleteBody", "OperationAborted"})
_TRANSIENT_ERRORS: Final = (
    ConnectionLost,
    HTTPClientError,
    IncompleteReadError,
    ResponseParserError,
    ResponseStreamingError,
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in S3 a bundle lies: a bucket and a folder in it (``''`` or ``a/b/``)."""

    bucket: str
    folder: str = ""

    def key(self, filename: str) -> str:
        """The key of one of the bundle's files."""
        return self.folder + filename

    def location(self, filename: str) -> str:
        """The file as RegisterImage's ImageLocation names it."""
        return f"{self.bucket}/{self.key(filename)}"


def read_place(text: str) -> Place:
    """``BUCKET[/PREFIX]`` as a place; slashes too many are dropped."""
    bucket, *folders = [piece for piece in text.split("/") if piece] or [""]
    if not bucket:
        raise LocalRefusal(f"{text!r} names no bucket", hint="-b BUCKET or -b BUCKET/PREFIX", exit_code=2)
    return Place(bucket, "".join(piece + "/" for piece in folders))


def is_part_name(filename: str) -> bool:
    """Whether a manifest's ``<filename>`` may become a file beside others, or be deleted as a part."""
    return _PART_NAME.fullmatch(filename) is not None


def is_transient(error: Exception) -> bool:
    """Whether the failure may be gone at the next try, and the request is safe to repeat (all of a bundle's are)."""
    if isinstance(error, ClientError):
        return _status(error) in _TRANSIENT_STATUS or error.response.get("Error", {}).get("Code") in _TRANSIENT_CODES
    return isinstance(error, _TRANSIENT_ERRORS) and not isinstance(error, SSLError)


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and after which pauses something transient is tried again.

    Pauses double from ``first_seconds`` up to ``pause_seconds_max``, each shortened by chance to between a half and the whole, so
    that many uploaders do not come back together.  ``stopped`` ends the waiting: nothing is tried again once it is set.
    A server that was never ``reached`` is most likely not there: that it takes no connection is told at once.
    """

    attempts_max: int = 8
    first_seconds: float = 0.5
    pause_seconds_max: float = 20.0
    sleep: Callable[[float], object] | None = None
    chance: Callable[[], float] = random.random
    tell: Callable[[str], None] | None = None
    stopped: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)

    def run(self, what: str, action: Callable[[], T]) -> T:
        """The result of ``action``, tried again while it fails transiently; else its last error."""
        for attempt in range(1, self.attempts_max):
            try:
                return self._try(action)
            except (ClientError, *_TRANSIENT_ERRORS) as error:
                is_nowhere = isinstance(error, EndpointConnectionError) and not self.reached.is_set()
                if is_nowhere or not is_transient(error) or self.stopped.is_set():
                    raise
                pause = self.pause_seconds(attempt)
                if self.tell is not None:
                    self.tell(f"{what}: {error}; trying again in {pause:.1f} s ({attempt} of {self.attempts_max - 1})")
                (self.sleep or self.stopped.wait)(pause)
        return self._try(action)

    def _try(self, action: Callable[[], T]) -> T:
        try:
            result = action()
        except ClientError:
            self.reached.set()
            raise
        self.reached.set()
        return result

    def pause_seconds(self, attempt: int) -> float:
        """The pause after the ``attempt``-th failure, the first being 1."""
        whole = min(self.pause_seconds_max, self.first_seconds * 2.0 ** (attempt - 1))
        return whole * (0.5 + self.chance() / 2)


ONE_TRY: Final = Patience(attempts_max=1)


def in_parallel(work: Callable[[T], R], items: Iterable[T], patience: Patience, workers: int = WORKERS) -> Iterator[R]:
    """Results of ``work`` on every item as they come, ``workers`` at once; the first failure ends it all.

    Items are taken as there is room for them.  When this generator is left, no work goes on behind it.
    """
    waiting: set[Future[R]] = set()
    pool = ThreadPoolExecutor(workers, "bundle-transfer")
    try:
        for item in items:
            waiting.add(pool.submit(work, item))
            if len(waiting) >= workers:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    except BaseException:
        patience.stopped.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def is_absent(error: ClientError) -> bool:
    """Whether the server said that there is no such bucket or object."""
    return _status(error) == 404


def is_forbidden(error: ClientError) -> bool:
    """Whether the server said that the caller may not."""
    return _status(error) == 403


def _status(error: ClientError) -> int | None:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")


def region_of_location(location: str | None) -> str:
    """The region that a location constraint names."""
    return _LOCATION_ALIASES.get(location or "", location or "")


def ensure_bucket(s3: S3, name: str, location: str | None, patience: Patience) -> str:
    """The region of the bucket ``name``, made there unless it is there already.

    ``location`` given and not the bucket's: refused, exit code 10.  ``''`` where the owner of the bucket, another, does not tell.
    """
    wanted = region_of_location(location if location is not None else s3.meta.region_name)
    try:
        patience.run(name, lambda: s3.head_bucket(Bucket=name))
    except ClientError as error:
        if not is_absent(error):
            raise
        constraint = {} if wanted == DEFAULT_LOCATION else {"LocationConstraint": location or wanted}
        more = {"CreateBucketConfiguration": constraint} if constraint else {}
        try:
            patience.run(name, lambda: s3.create_bucket(Bucket=name, **more))
        except ClientError as refused:
            # So answers a second try whose first one arrived after all.
            if refused.response.get("Error", {}).get("Code") != "BucketAlreadyOwnedByYou":
                raise
        return wanted
    found = bucket_region(s3, name, patience)
    if location is not None and found and found != wanted:
        raise LocalRefusal(
            f"bucket {name} is in {found}, not in {wanted}",
            hint="name another bucket with -b, or leave --location out",
            exit_code=EXIT_OTHER_LOCATION,
        )
    return found


def bucket_region(s3: S3, name: str, patience: Patience) -> str:
    """The region of the bucket; ``''`` where only its owner, another, may ask."""
    try:
        return region_of_location(
            patience.run(name, lambda: s3.get_bucket_location(Bucket=name)).get("LocationConstraint")
        )
    except ClientError as error:
        if _status(error) not in (403, 404, 405, 501):
            raise
        return ""
    except ParseError:  # of botocore's own reader of this one answer
        raise LocalRefusal(f"what answers for bucket {name} is no S3 server", exit_code=69) from None


@dataclass(frozen=True, slots=True)
class Held:
    """An object that lies in a bucket: its size, and its ETag, which of a plain upload is the MD5 in hex."""

    key: str
    size_bytes: int
    etag: str


def list_held(s3: S3, bucket: str, prefix: str, patience: Patience) -> dict[str, Held]:
    """Every object whose key begins with ``prefix``: key → what it is.  Speaks ListObjects, which every S3 knows."""
    found: dict[str, Held] = {}
    marker = ""
    while True:
        page = patience.run(bucket, partial(s3.list_objects, Bucket=bucket, Prefix=prefix, Marker=marker))
        rows = page.get("Contents", [])
        for row in rows:
            found[row["Key"]] = Held(row["Key"], int(row["Size"]), str(row.get("ETag", "")).strip('"'))
        if not page.get("IsTruncated") or not rows:
            return found
        if len(found) > KEYS_MAX:
            raise LocalRefusal(f"under {bucket}/{prefix} lie more than {KEYS_MAX} objects")
        if rows[-1]["Key"] <= marker:
            raise LocalRefusal(f"the server lists {bucket}/{prefix} out of order: {rows[-1]['Key'][:80]!r} comes again")
        marker = rows[-1]["Key"]
