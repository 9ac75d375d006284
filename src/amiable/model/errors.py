"""The one tree of errors.

    Refusal                          a request or a command that is refused: code, text, hint, HTTP status
    ├─ authentication                AuthFailure, SignatureDoesNotMatch, …
    ├─ request                       MissingParameter, InvalidParameterValue, UnknownParameter, …
    ├─ identifiers                   NotFound and Malformed, one pair a noun
    ├─ state                         IncorrectInstanceState, InvalidSnapshotInUse, …
    ├─ EBS direct                    EbsRefusal: code, status, reason
    ├─ S3, IAM                       S3Refusal, IamRefusal: code, status
    ├─ bundles                       BundleRefusal: stage and fault
    └─ local                         LocalRefusal: what the command line or the server's start refuses
    DryRunOperation                  what a dry run answers instead of doing it

A noun with many refusals of its own has them beside this module, in ``<noun>_errors.py``.

A decision raises; ``server/refusals.py`` and ``cli/`` translate, once, at the edge.  Codes are AWS's words; sources: EC2 API
error codes, EBS direct API reference, S3 error responses.  Programmer errors are asserted, not refused.
"""

from typing import Any, ClassVar

from amiable.model.id_words import MALFORMED, NOT_FOUND, WORDS


class Refusal(Exception):
    """A named refusal.  ``facts`` fill the class's ``template``; ``hint`` says what to do about it.

    ``code`` and ``status`` are the class's, unless a refusal of a family has its own.
    """

    code: str = "InternalError"
    status: int = 400
    template: ClassVar[str] = "{message}"
    hint: ClassVar[str] = ""

    def __init__(self, message: str | None = None, *, hint: str | None = None, **facts: Any) -> None:
        self.facts = facts
        self.message = message if message is not None else self.template.format(**facts)
        self.advice = hint if hint is not None else self.hint.format(**facts) if facts else self.hint
        super().__init__(self.message)


class DryRunOperation(Refusal):
    code = "DryRunOperation"
    status = 412
    template = "Request would have succeeded, but DryRun flag is set."


# ── authentication ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Unauthenticated(Refusal):
    """Who asks could not be established.  ``kind`` is translated per service by the edge (401 on EC2, 403 elsewhere).

    Kinds: missing, malformed, unknown-key, wrong-signature, skewed (a header's time), expired (a presigned request), wrong-body,
    wrong-scope, wrong-token and expired-token (of a session).
    """

    code = "AuthFailure"
    status = 401
    template = "AWS was not able to validate the provided access credentials"

    def __init__(self, kind: str, message: str | None = None) -> None:
        self.kind = kind
        super().__init__(message or self.template)


class AuthFailure(Refusal):
    code = "AuthFailure"
    status = 401
    template = "Not authorized for {what}"


class UnauthorizedOperation(Refusal):
    code = "UnauthorizedOperation"
    status = 403
    template = "You are not authorized to perform this operation. {why}"


# ── request ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class MissingAction(Refusal):
    code = "MissingAction"
    template = "The request is missing an action or a required parameter."


class InvalidAction(Refusal):
    code = "InvalidAction"
    template = "The action {action} is not valid for this web service."


class NotImplementedAction(Refusal):
    """An action that AWS has and Amiable does not (yet)."""

    code = "UnsupportedOperation"
    template = "The action {action} is not implemented by Amiable."


class NoSuchVersion(Refusal):
    code = "NoSuchVersion"
    template = "The requested version ({version}) is not valid."


class MissingParameter(Refusal):
    code = "MissingParameter"
    template = "The request must contain the parameter {parameter}"


class UnknownParameter(Refusal):
    code = "UnknownParameter"
    template = "The parameter {parameter} is not recognized"


class InvalidParameterValue(Refusal):
    code = "InvalidParameterValue"
    template = "Value ({value}) for parameter {parameter} is invalid. {why}"


class InvalidParameterCombination(Refusal):
    code = "InvalidParameterCombination"


class InvalidRequest(Refusal):
    code = "InvalidRequest"


class UnsupportedOperation(Refusal):
    code = "UnsupportedOperation"


class Unsupported(Refusal):
    code = "Unsupported"


class MalformedQueryString(Refusal):
    code = "MalformedQueryString"
    template = "The query string is malformed: {why}"


class RequestTooLarge(Refusal):
    code = "RequestEntityTooLarge"
    status = 413
    template = "The request body is larger than {limit_bytes} bytes."


class RequestTimeout(Refusal):
    code = "RequestTimeout"
    template = "Nothing of the request's body came for {wait_seconds} seconds."


class InvalidPaginationToken(Refusal):
    code = "InvalidNextToken"
    template = "The NextToken value is not valid."


class IdempotentParameterMismatch(Refusal):
    code = "IdempotentParameterMismatch"
    template = "The client token was used before with other parameters."


class InternalError(Refusal):
    code = "InternalError"
    status = 500
    template = "An internal error has occurred"


class Unavailable(Refusal):
    code = "Unavailable"
    status = 503


class StorageFull(Refusal):
    """The disk under the data directory is full.  507: no client tries again by itself, as it would after 500 or 503."""

    code = "InsufficientVolumeCapacity"
    status = 507
    template = "The disk of the server's data directory is full."
    hint = "make space on it, then try again"


class ResourceLimitExceeded(Refusal):
    code = "ResourceLimitExceeded"


class InsufficientInstanceCapacity(Refusal):
    code = "InsufficientInstanceCapacity"
    status = 500


# ── identifiers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Malformed(Refusal):
    """An id of the wrong form; ``code`` is per noun (``MALFORMED``).  ``values`` are all that are, the text names the first."""

    template = 'Invalid id: "{value}" (expecting "{prefix}-...")'

    def __init__(self, noun: str, value: str, prefix: str, *more: str) -> None:
        self.noun = noun
        self.values = [value, *more]
        self.code = MALFORMED[noun]
        super().__init__(value=value, prefix=prefix)


class NotFound(Refusal):
    """Ids that name nothing the caller may see; ``values`` are all of them, in request order; the text leaves out ``more``."""

    def __init__(self, noun: str, values: list[str], *more: str) -> None:
        self.noun = noun
        self.code = NOT_FOUND[noun]
        self.values = [*values, *more]
        word, named = WORDS[noun], ", ".join(values)
        named = f"'[{named}]'" if noun in ("image", "kernel", "ramdisk") else f"'{named}'"
        stop = "." if noun in ("snapshot", "volume") else ""
        text = (
            f"The {word} {named} does not exist{stop}"
            if len(values) == 1
            else f"The {word}s {named} do not exist{stop}"
        )
        super().__init__(text)


class InvalidUserIDMalformed(Refusal):
    code = "InvalidUserID.Malformed"
    template = 'Invalid user id: "{value}"'


# ── state and rules ─────────────────────────────────────────────────────────────────────────────────────────────────────


class InvalidAMIIDUnavailable(Refusal):
    code = "InvalidAMIID.Unavailable"
    template = "The image id '[{image_id}]' is no longer available"


class OperationNotPermitted(Refusal):
    code = "OperationNotPermitted"


class InvalidAMINameDuplicate(Refusal):
    code = "InvalidAMIName.Duplicate"
    template = "AMI name {name} is already in use by AMI {image_id}"


class InvalidAMINameMalformed(Refusal):
    code = "InvalidAMIName.Malformed"
    template = (
        "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, spaces, "
        "'(', ')', '[', ']', '.', '-', '/', '_', '@' and \"'\""
    )


class InvalidBlockDeviceMapping(Refusal):
    code = "InvalidBlockDeviceMapping"


class InvalidManifest(Refusal):
    code = "InvalidManifest"


class InvalidAMIAttributeItemValue(Refusal):
    code = "InvalidAMIAttributeItemValue"
    template = 'Invalid attribute item value "{value}" for {item} item type.'


class InvalidSnapshotInUse(Refusal):
    code = "InvalidSnapshot.InUse"
    template = "The snapshot {snapshot_id} is currently in use by {users}"


class IncorrectState(Refusal):
    code = "IncorrectState"


class SnapshotNotPending(IncorrectState):
    """A block for a snapshot that takes none any more."""

    template = "The snapshot {snapshot_id} is not pending, it is {state}."


class BlockDamaged(Refusal):
    """Acknowledged bytes that are not there, or are not what their name says: never answered as data."""

    code = "InternalError"
    status = 500
    template = "Block {index} of {snapshot_id} is damaged: {why}"
    hint = "Restore the pack from a backup; the other blocks are not affected."


class IncorrectInstanceState(Refusal):
    code = "IncorrectInstanceState"
    template = "The instance '{instance_id}' is not in a state from which it can be {verb}."


class TagLimitExceeded(Refusal):
    code = "TagLimitExceeded"
    template = "The maximum number of Tags for a resource has been reached."


class InvalidTagKeyMalformed(Refusal):
    code = "InvalidTagKey.Malformed"


class FilterLimitExceeded(Refusal):
    code = "FilterLimitExceeded"
    template = "The maximum number of {what} specified on a single call is {limit}"


class InaccessibleStorageLocation(Refusal):
    code = "InaccessibleStorageLocation"
    template = "The object s3://{bucket}/{key} cannot be read: {why}"


class DiskImageSizeTooLarge(Refusal):
    code = "DiskImageSizeTooLarge"
    template = "The disk image has {size_bytes} bytes; a snapshot holds {size_gib_max} GiB at most."


# ── EBS direct, S3 ──────────────────────────────────────────────────────────────────────────────────────────────────────


class EbsRefusal(Refusal):
    """An EBS direct exception: ``exception`` is its type, ``reason`` one of the model's reasons."""

    STATUSES: ClassVar[dict[str, int]] = {
        "AccessDeniedException": 403,
        "ValidationException": 400,
        "ResourceNotFoundException": 404,
        "RequestThrottledException": 400,
        "ServiceQuotaExceededException": 402,
        "ConcurrentLimitExceededException": 400,
        "ConflictException": 409,
        "InternalServerException": 500,
    }

    def __init__(self, exception: str, reason: str | None, message: str) -> None:
        self.exception = self.code = exception
        self.status = self.STATUSES[exception]
        self.reason = reason
        super().__init__(message)


class S3Refusal(Refusal):
    """An S3 error: code, status, text, and the extra elements that this code carries."""

    def __init__(self, code: str, status: int, message: str, **elements: str) -> None:
        assert message, code
        self.code = code
        self.status = status
        self.elements = elements
        super().__init__(message)


class IamRefusal(Refusal):
    """An IAM error: its code, and the status that IAM's model gives that code."""

    STATUSES: ClassVar[dict[str, int]] = {
        "NoSuchEntity": 404,
        "LimitExceeded": 409,
        "DuplicateCertificate": 409,
        "MalformedCertificate": 400,
        "InvalidCertificate": 400,
        "InvalidInput": 400,
        "AccessDenied": 403,
        "EntityAlreadyExists": 409,
        "DeleteConflict": 409,
        "MalformedPolicyDocument": 400,
        "ValidationError": 400,
    }

    def __init__(self, code: str, message: str, *, hint: str | None = None) -> None:
        self.code = code
        self.status = self.STATUSES[code]
        super().__init__(message, hint=hint)


# ── bundles and local commands ──────────────────────────────────────────────────────────────────────────────────────────


class BundleRefusal(Refusal):
    """A bundle that is refused at ``stage``: manifest, signature, key, parts, cipher, gzip, tar or image."""

    code = "InvalidManifest"

    def __init__(self, stage: str, message: str, *, hint: str | None = None) -> None:
        self.stage = stage
        super().__init__(message, hint=hint)


class LocalRefusal(Refusal):
    """What a command refuses before or after it spoke to a server.  ``exit_code``: see ``cli``."""

    code = "Local"

    def __init__(self, message: str, *, hint: str = "", exit_code: int = 1) -> None:
        self.exit_code = exit_code
        super().__init__(message, hint=hint)
