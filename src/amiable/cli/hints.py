"""What to do about a refusal to which the server gave no hint, and its exit code: by its code; where that has many causes, its words."""

import re
from typing import Final

from amiable.model import id_words
from amiable.model.errors import StorageFull

_ENV: Final = 'eval "$(amiable env)"'
NOT_OF_THIS_SERVER: Final = f"the access key is not of this server, or is disabled: {_ENV}"
MAKE_SPACE: Final = "make space on the disk of the server's data directory (amiable doctor shows it), then try again"
NOT_YOURS: Final = "the bucket is another account's, which does not share it; yours: aws sts get-caller-identity"
CLOCKS: Final = "compare this machine's clock with the server's"
OTHER_SERVER: Final = f"does AWS_ENDPOINT_URL name it?  {_ENV}"
NOT_RUNNING: Final = f"is the server running?  amiable serve, then {_ENV}"
ACCOUNTS: Final = "amiable account list"

LISTS: Final = {
    "image": "amiable image list",
    "kernel": "amiable kernel list",
    "ramdisk": "amiable kernel list",
    "snapshot": "amiable snapshot list",
    "volume": "amiable volume list",
    "instance": "amiable instance list",
    "key_pair": "amiable key-pair list",
    "subnet": "aws ec2 describe-subnets",
    "vpc": "aws ec2 describe-vpcs",
    "security_group": "aws ec2 describe-security-groups",
    "bundle_task": "amiable bundle tasks",
}
"""The command that lists what there is of a noun: what an id that names nothing, or has the wrong form, is compared with."""


PARAMETERS: Final = {
    "ImageId": "image",
    "SourceImageId": "image",
    "SnapshotId": "snapshot",
    "VolumeId": "volume",
    "InstanceId": "instance",
    "BundleId": "bundle_task",
}
"""What an id that was given empty, and so not at all, is of."""


def _of_ids() -> dict[str, str]:
    """The hint of each code for an id; where nouns share one, the first noun's."""
    found: dict[str, str] = {}
    for noun, command in LISTS.items():
        for table in (id_words.NOT_FOUND, id_words.MALFORMED):
            code = table.get(noun, "InvalidParameterValue")
            if code != "InvalidParameterValue":
                found.setdefault(code, command)
    return found


HINTS: Final = {
    **_of_ids(),
    "InvalidZone.NotFound": "aws ec2 describe-availability-zones",
    "InvalidClientTokenId": NOT_OF_THIS_SERVER,
    "InvalidAccessKeyId": NOT_OF_THIS_SERVER,
    "SignatureDoesNotMatch": NOT_OF_THIS_SERVER,
    "UnrecognizedClientException": NOT_OF_THIS_SERVER,
    "InvalidSignatureException": NOT_OF_THIS_SERVER,
    "AccessDenied": NOT_YOURS,
    "403": f"{NOT_YOURS}.  Or {NOT_OF_THIS_SERVER}",  # of a HEAD, whose answer has no words
    "NoSuchBucket": "-b names the bucket: aws s3 ls shows yours",
    "InvalidBucketName": "-b takes 3 to 63 lower-case letters, digits, '.' and '-'",
    "RequestExpired": CLOCKS,
    "RequestTimeTooSkewed": CLOCKS,
    "InvalidAMIName.Duplicate": "choose another --name, or deregister the image that has it",
    "InsufficientVolumeCapacity": MAKE_SPACE,
}
WORDS: Final = (
    (r"this installation is ([\w-]+)(?:, [\w-]+)*, not", r"export AWS_REGION=\1 AWS_DEFAULT_REGION=\1"),
    (StorageFull.template, MAKE_SPACE),
    (r"not yet current|request's time and the server's", CLOCKS),
    (r"access credentials|access key id is not known|signature we calculated", NOT_OF_THIS_SERVER),
    (
        r"\[([\w-]+)\]\. This \w+ is not on the list of approved",
        r"choose an approved one (amiable kernel list), or ask the administrator: amiable kernel approve \1",
    ),
    (r"before the administrator has approved it", "ask the administrator: amiable kernel approve"),
    (
        r"public images in this region and may have",
        "make others private, or start the server with a larger images_public_max",
    ),
    (r"images in this region and may have", "deregister images, or start the server with a larger images_max"),
    (r"snapshots in this region and may have", "delete snapshots, or start the server with a larger snapshots_max"),
    (r"call the DisableImageBlockPublicAccess", "lift the account's guard first: amiable image public-access allow"),
    (
        r"call the DisableSnapshotBlockPublicAccess",
        "lift the account's guard first: aws ec2 disable-snapshot-block-public-access",
    ),
    (r"The image id '\[a[kr]i-", LISTS["kernel"]),
    (
        r"does not have an 'ebs' root device type and cannot be stopped",
        "its root ends with it: amiable bundle instance keeps it as a bundle",
    ),
    (r"(?:Volume )?(vol-\w+) is (?:already|currently) attached", r"amiable volume detach \1 --wait"),
    (
        r"instance '(i-\w+)' may not be .* 'disableApiTermination'",
        r"aws ec2 modify-instance-attribute --instance-id \1 --no-disable-api-termination",
    ),
    (
        r"instance '(i-\w+)' may not be .* 'disableApiStop'",
        r"aws ec2 modify-instance-attribute --instance-id \1 --no-disable-api-stop",
    ),
    (r"[Ii]nstance '(i-\w+)' is not (?:in|')", r"amiable instance show \1"),
    (r"Volume '(vol-\w+)' is in the", r"amiable volume show \1"),
    (r"iamInstanceProfile", "aws iam list-instance-profiles"),
    (r"The product code '[^']*' does not exist", "amiable product list"),
    (r"The ID '\d{12}' does not exist", ACCOUNTS),
    (r"The ID 'ou-\w*' does not exist", "amiable organization show o-…"),
    (r"The ID '.*' does not exist", f"amiable organization list and {ACCOUNTS} show the ids that there are"),
    *((f"must contain the parameter {name}$", LISTS[noun]) for name, noun in PARAMETERS.items()),
    (r"The retention rule \S+ does not exist", "amiable recycle-bin rule list"),
    (r"The retention rule (\w+) is locked\. ", r"amiable recycle-bin rule unlock \1"),
    (r"You can have \d+ retention rules|is in \d+ retention rules", "delete one: amiable recycle-bin rule list"),
    (r"Only a Region-level retention rule", "lock one that was made without --tag and --except"),
    (r"needs the hypervisor for 32-bit guests", "build it once, on the server's host: amiable kernel build-pv32"),
    (r"Not authorized for images: \[([\w-]+)\]", r"its owner must share it: amiable image share \1 --account YOURS"),
    (r"Not authorized for image:", "only its owner may do this: amiable image show tells who that is"),
    (r"for the installation's administrator", f"speak for the administrator: {_ENV}"),
)
"""Patterns of the message and what to do; they come before :data:`HINTS`."""

RETRY_LATER: Final = frozenset(
    {
        "InsufficientInstanceCapacity",
        "RequestThrottledException",
        "ConcurrentLimitExceededException",
        "RequestLimitExceeded",
        "SlowDown",
    }
)


def hint_for(code: str, message: str) -> str:
    """What to do about the refusal; ``''`` where nothing is known."""
    for pattern, hint in WORDS:
        found = re.search(pattern, message)
        if found:
            return found.expand(hint)
    return HINTS.get(code, "")


def exit_code_for(code: str, status: int, message: str) -> int:
    """1 refused · 70 our bug · 74 the server's disk is full · 75 try again later."""
    if code == StorageFull.code or status == 507 or message == StorageFull.template:  # EBS direct tells it as a quota
        return 74
    if code in RETRY_LATER or status == 503:
        return 75
    if status < 500 or status == 501:
        return 1
    return 70 if code.startswith("Internal") or code == "500" else 75
