"""Errors, translated once: each service's own document, code and status.

    EC2       <Response><Errors><Error>…      AuthFailure 401
    STS, IAM  <ErrorResponse><Error>…         InvalidClientTokenId, SignatureDoesNotMatch 403
    EBS, rbin {"Message", "Reason"}           UnrecognizedClientException 403
    SSM       {"__type", "message"}           UnrecognizedClientException 400
    S3        <Error><Code>…                  InvalidAccessKeyId, SignatureDoesNotMatch 403
    amiable   {"Code", "Message", "Hint"}     AuthFailure 401
    bootstrap as EC2

What is no refusal is our own fault: InternalError, 500, logged with the request id; but a full disk has a name.
"""

import errno
import logging
from typing import Any, Final

import msgspec
import sqlalchemy.exc
from starlette.responses import Response

from amiable.model.errors import (
    EbsRefusal,
    InternalError,
    Malformed,
    NotFound,
    Refusal,
    RequestTooLarge,
    S3Refusal,
    StorageFull,
    Unauthenticated,
    Unavailable,
)
from amiable.model.retirement_errors import RbinRefusal
from amiable.wire import ec2_query, json_rpc, query, rest_json
from amiable.wire.json_rpc import SSM
from amiable.wire.query import QueryProtocol
from amiable.wire.scalars import xml_text

log = logging.getLogger("amiable.server")

XML_TYPE: Final = "application/xml"

EC2_AUTHENTICATION: Final = {
    "skewed": ("RequestExpired", 400),
    "expired": ("RequestExpired", 400),
    "expired-token": ("RequestExpired", 400),
}
STS_AUTHENTICATION: Final = {
    "missing": ("MissingAuthenticationToken", 403),
    "malformed": ("IncompleteSignature", 400),
    "unknown-key": ("InvalidClientTokenId", 403),
    "skewed": ("SignatureDoesNotMatch", 403),
    "expired": ("SignatureDoesNotMatch", 403),
    "wrong-token": ("InvalidClientTokenId", 403),
    "expired-token": ("ExpiredToken", 403),
}
QUERY_CODES: Final = {"InvalidParameterValue": "ValidationError", "MissingParameter": "ValidationError"}
"""The word of STS and IAM for what the wire refuses."""
REST_JSON_AUTHENTICATION: Final = {
    "missing": ("MissingAuthenticationTokenException", 403),
    "malformed": ("IncompleteSignatureException", 403),
    "unknown-key": ("UnrecognizedClientException", 403),
    "wrong-token": ("UnrecognizedClientException", 403),
    "expired-token": ("ExpiredTokenException", 403),
}
SSM_AUTHENTICATION: Final = {
    "missing": ("MissingAuthenticationTokenException", 400),
    "malformed": ("IncompleteSignatureException", 400),
    "unknown-key": ("UnrecognizedClientException", 400),
    "wrong-token": ("UnrecognizedClientException", 400),
    "expired-token": ("ExpiredTokenException", 400),
}
SSM_CODES: Final = {
    "InternalError": "InternalServerError",
    "InvalidAction": "UnknownOperationException",
    "UnsupportedOperation": "UnsupportedOperationException",
    "UnauthorizedOperation": "AccessDeniedException",
    "InvalidParameterValue": "ValidationException",
}
"""Systems Manager's words for what other services refuse too."""
S3_AUTHENTICATION: Final = {
    "missing": ("AccessDenied", 403),
    "malformed": ("AuthorizationHeaderMalformed", 400),
    "unknown-key": ("InvalidAccessKeyId", 403),
    "skewed": ("RequestTimeTooSkewed", 403),
    "expired": ("AccessDenied", 403),
    "wrong-body": ("XAmzContentSHA256Mismatch", 400),
    "wrong-scope": ("AuthorizationHeaderMalformed", 400),
    "wrong-token": ("InvalidToken", 400),
    "expired-token": ("ExpiredToken", 400),
}


def named(error: Exception, request_id: str) -> Refusal:
    """The refusal that ``error`` amounts to; what is not one is logged and becomes InternalError."""
    if isinstance(error, Refusal):
        return error
    if is_disk_full(error):
        log.error("request %s: the disk is full: %s", request_id, error)
        return StorageFull()
    log.error("request %s failed", request_id, exc_info=error)
    return InternalError(f"An internal error has occurred. The server's log has it under request id {request_id}.")


def is_disk_full(error: BaseException) -> bool:
    """Whether a file or the database met the end of the disk."""
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        return "disk is full" in str(error.orig)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def log_failure(to: logging.Logger, words: str, error: Exception) -> None:
    """One line of what an outermost loop met, with its traceback; a full disk is nobody's mistake, and has none."""
    if is_disk_full(error):
        to.error("%s: the disk is full", words)
    else:
        to.error("%s", words, exc_info=error)


def told(service: str, refusal: Refusal) -> tuple[str, int]:
    """The code and the status by which ``service`` tells its clients of ``refusal``."""
    match service:
        case "sts" | "iam":
            code, status = _code(refusal, STS_AUTHENTICATION, ("SignatureDoesNotMatch", 403))
            return QUERY_CODES.get(code, code), status
        case "ebs" | "rbin":
            if isinstance(refusal, EbsRefusal | RbinRefusal | Unauthenticated):
                return _code(refusal, REST_JSON_AUTHENTICATION, ("InvalidSignatureException", 403))
            code = _exception(refusal)
            return code, EbsRefusal.STATUSES[code]
        case "ssm":
            code, status = _code(refusal, SSM_AUTHENTICATION, ("InvalidSignatureException", 400))
            return SSM_CODES.get(code, code), status
        case "s3":
            return _told_by_s3(refusal)
        case "amiable":
            return refusal.code, refusal.status
        case _:
            return _code(refusal, EC2_AUTHENTICATION, ("AuthFailure", 401))


def _told_by_s3(refusal: Refusal) -> tuple[str, int]:
    if isinstance(refusal, RequestTooLarge):
        return "EntityTooLarge", 400
    if isinstance(refusal, Unavailable):
        return "ServiceUnavailable", refusal.status
    return _code(refusal, S3_AUTHENTICATION, ("SignatureDoesNotMatch", 403))


def answer(service: str, refusal: Refusal, *, request_id: str, resource: str, region: str) -> Response:
    """``refusal`` in the words of ``service``; ``resource`` is the path, ``region`` the installation's, for S3's elements."""
    match service:
        case "sts":
            return _query(query.STS, refusal, request_id)
        case "iam":
            return _query(query.IAM, refusal, request_id)
        case "ebs" | "rbin":
            return _rest_json(refusal)
        case "ssm":
            return _ssm(refusal)
        case "s3":
            return _s3(refusal, request_id, resource, region)
        case "amiable":
            return _amiable(refusal)
        case _:
            return _ec2(refusal, request_id)


def _ec2(refusal: Refusal, request_id: str) -> Response:
    code, status = told("ec2", refusal)
    ids = refusal.values if isinstance(refusal, Malformed | NotFound) else ()
    body = ec2_query.write_error(code, refusal.message, request_id=request_id, ids=ids)
    return Response(body, status, {"Content-Type": ec2_query.CONTENT_TYPE})


def _query(protocol: QueryProtocol, refusal: Refusal, request_id: str) -> Response:
    code, status = told("sts", refusal)
    body = protocol.write_error(code, refusal.message, request_id=request_id, is_senders_fault=status < 500)
    return Response(body, status, {"Content-Type": query.CONTENT_TYPE})


def _rest_json(refusal: Refusal) -> Response:
    reason = refusal.reason if isinstance(refusal, EbsRefusal | RbinRefusal) else None
    code, status = told("ebs", refusal)
    headers, body = rest_json.write_error(code, refusal.message, reason)
    return Response(body, status, headers)


def _exception(refusal: Refusal) -> str:
    """The exception of a rest-json service nearest to a refusal that was made for another service."""
    if isinstance(refusal, NotFound):
        return "ResourceNotFoundException"
    if isinstance(refusal, StorageFull):
        return "ServiceQuotaExceededException"
    if refusal.status == 403:
        return "AccessDeniedException"
    return "InternalServerException" if refusal.status >= 500 else "ValidationException"


def _ssm(refusal: Refusal) -> Response:
    code, status = told("ssm", refusal)
    return Response(SSM.write_error(code, refusal.message), status, {"Content-Type": json_rpc.CONTENT_TYPE})


def _s3(refusal: Refusal, request_id: str, resource: str, region: str) -> Response:
    code, status = told("s3", refusal)
    elements: dict[str, str] = {}
    if isinstance(refusal, S3Refusal):
        elements = refusal.elements
    elif isinstance(refusal, Unauthenticated) and refusal.kind == "wrong-scope":
        elements = {"Region": region}
    named = {"Code": code, "Message": refusal.message, **elements, "Resource": resource, "RequestId": request_id}
    body = "".join(f"<{name}>{xml_text(value)}</{name}>" for name, value in named.items())
    return Response(f"{ec2_query.DECLARATION}<Error>{body}</Error>".encode(), status, {"Content-Type": XML_TYPE})


def _amiable(refusal: Refusal) -> Response:
    document: dict[str, Any] = {"Code": refusal.code, "Message": refusal.message}
    if refusal.advice:
        document["Hint"] = refusal.advice
    headers = {"Content-Type": rest_json.JSON_TYPE, "X-Amzn-ErrorType": refusal.code}
    return Response(msgspec.json.encode(document), refusal.status, headers)


def _code(refusal: Refusal, kinds: dict[str, tuple[str, int]], otherwise: tuple[str, int]) -> tuple[str, int]:
    if isinstance(refusal, Unauthenticated):
        return kinds.get(refusal.kind, otherwise)
    return refusal.code, refusal.status
