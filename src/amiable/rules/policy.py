"""IAM policies: text → :class:`Policy` → a decision.

    any statement that applies says Deny ──▶ explicit deny
    none does, and one says Allow ─────────▶ allowed
    neither ───────────────────────────────▶ implicit deny

A statement applies where its action, its resource and every condition match.  What cannot be decided here (a condition key that no
request tells, a policy variable, ``NotPrincipal``) is refused when the document is written, so no statement is ever passed over.
Source: IAM user guide, "Policy evaluation logic" and "JSON policy elements reference".
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import lru_cache
from typing import Any, Final

from amiable.model.errors import IamRefusal
from amiable.model.policy import Condition, Effect, Policy, Statement, Trusted, Words

VERSIONS: Final = ("2012-10-17", "2008-10-17")
STATEMENTS_MAX: Final = 500
CONDITION_KEYS: Final = frozenset(
    {"aws:principalaccount", "aws:principalarn", "aws:requestedregion", "sts:externalid", "sts:rolesessionname"}
)
"""What a request is known to tell."""

_ACTION: Final = re.compile(r"\*|[A-Za-z0-9-]{1,64}:[A-Za-z0-9*?]{1,128}", re.ASCII)
_ACCOUNT: Final = re.compile(
    r"\*|\d{12}|arn:aws:iam::\d{12}:(root|role/[\w+=,.@/-]+)|arn:aws:sts::\d{12}:assumed-role/[\w+=,.@/-]+", re.ASCII
)
_SERVICE: Final = re.compile(r"[a-z0-9.-]{1,100}\.amazonaws\.com", re.ASCII)


def is_match(pattern: str, text: str) -> bool:
    """Whether a pattern with ``*`` and ``?`` matches the whole of ``text``; a backslash is a letter like others here."""
    if "*" not in pattern and "?" not in pattern:
        return pattern == text
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """The pattern as an expression that never goes back before a ``*``: steps are at most length of pattern × length of text.

    A request may name a thousand resources, and a role's policies hundreds of patterns: each is read once.
    """
    first, *others = (re.escape(part).replace(r"\?", ".") for part in re.split(r"\*+", pattern))
    if not others:
        return re.compile(first, re.DOTALL)
    middle = "".join(f"(?>.*?{part})" for part in others[:-1])
    return re.compile(f"{first}{middle}.*{others[-1]}", re.DOTALL)


OPERATORS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "StringEquals": lambda value, wanted: value == wanted,
    "StringEqualsIgnoreCase": lambda value, wanted: value.lower() == wanted.lower(),
    "StringLike": lambda value, wanted: is_match(wanted, value),
    "ArnEquals": lambda value, wanted: is_match(wanted, value),
    "ArnLike": lambda value, wanted: is_match(wanted, value),
}
"""Each has its opposite: ``StringNotEquals``, ``ArnNotLike`` …"""
NEGATED: Final = {re.sub("(String|Arn)", r"\1Not", name, count=1): name for name in OPERATORS}


UNRESOLVED: Final = "?"
"""The resource of a call that names one in a way that its ARN does not follow from: allowed only where all are, denied where any is."""


class Verdict(Enum):
    """What policies say of one request."""

    ALLOWED = auto()
    DENIED = auto()  # a statement says so
    NOT_ALLOWED = auto()  # no statement says otherwise


@dataclass(frozen=True, slots=True)
class Asked:
    """One action on one resource; ``context`` holds what conditions compare, by key in lower case."""

    action: str
    resource: str = "*"
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Assumer:
    """Who asks to assume a role: an account's words for the caller, or a service."""

    words: frozenset[str] = frozenset()
    service: str | None = None


# ── deciding ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def decide(policies: Sequence[Policy], asked: Asked) -> Verdict:
    """What the policies of a role, taken together, say."""
    applying = [each for policy in policies for each in policy.statements if _applies(each, asked)]
    return _verdict(applying)


def decide_trust(policy: Policy, assumer: Assumer, asked: Asked) -> Verdict:
    """What a role's trust policy says of who asks to assume it."""
    applying = [each for each in policy.statements if _is_meant(each.trusted, assumer) and _applies(each, asked)]
    return _verdict(applying)


def _verdict(applying: Sequence[Statement]) -> Verdict:
    effects = {each.effect for each in applying}
    if Effect.DENY in effects:
        return Verdict.DENIED
    return Verdict.ALLOWED if Effect.ALLOW in effects else Verdict.NOT_ALLOWED


def _applies(statement: Statement, asked: Asked) -> bool:
    return (
        _names(statement.actions, asked.action.lower(), str.lower)
        and _concerns(statement, asked.resource)
        and all(_holds(each, asked.context) for each in statement.conditions)
    )


def _concerns(statement: Statement, resource: str) -> bool:
    if statement.resources is None or (resource == UNRESOLVED and statement.effect is Effect.DENY):
        return True
    if resource == UNRESOLVED and statement.resources.is_negated:
        return False  # it may be one that is left out
    return _names(statement.resources, resource, str)


def _names(words: Words, text: str, spell: Callable[[str], str]) -> bool:
    return any(is_match(spell(pattern), text) for pattern in words.patterns) is not words.is_negated


def _is_meant(trusted: Trusted | None, assumer: Assumer) -> bool:
    assert trusted is not None, "a trust policy's statement names whom it trusts"
    if assumer.service is not None:
        return assumer.service in trusted.services
    return "*" in trusted.accounts or not assumer.words.isdisjoint(trusted.accounts)


def _holds(condition: Condition, context: Mapping[str, str]) -> bool:
    """Whether the condition holds; of a key that the request does not tell only what is negated holds."""
    value, name = context.get(condition.key), condition.operator
    compare = OPERATORS[NEGATED.get(name, name)]
    is_equal = value is not None and any(compare(value, wanted) for wanted in condition.values)
    return is_equal is (name not in NEGATED)


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_policy(text: str) -> Policy:
    """A role's own policy, or a session's; raises MalformedPolicyDocument."""
    return _read(text, is_trust=False)


def read_trust_policy(text: str) -> Policy:
    """A policy that says who may assume a role; raises MalformedPolicyDocument."""
    return _read(text, is_trust=True)


def malformed(message: str) -> IamRefusal:
    """The refusal of a document."""
    return IamRefusal("MalformedPolicyDocument", message)


def _read(text: str, *, is_trust: bool) -> Policy:
    try:
        document = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise malformed("Syntax errors in policy.") from None
    if not isinstance(document, dict) or not document.keys() <= {"Version", "Id", "Statement"}:
        raise malformed("Syntax errors in policy.")
    if document.get("Version", VERSIONS[1]) not in VERSIONS:
        raise malformed("Policy document must be version 2012-10-17 or 2008-10-17.")
    found = document.get("Statement")
    statements: list[Any] = found if isinstance(found, list) else [found]
    if not found or len(statements) > STATEMENTS_MAX or not all(isinstance(each, dict) for each in statements):
        raise malformed("Syntax errors in policy.")
    return Policy(tuple(_statement(each, is_trust=is_trust) for each in statements))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError
    return dict(pairs)


def _statement(found: dict[str, Any], *, is_trust: bool) -> Statement:
    _check_members(found, is_trust=is_trust)
    try:
        effect = Effect(found.get("Effect", ""))
    except ValueError:
        raise malformed("Invalid effect: a statement's Effect is Allow or Deny.") from None
    actions = _words(found, "Action", "Policy statement must contain actions.")
    for action in actions.patterns:
        if not _ACTION.fullmatch(action):
            raise malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
    resources = None
    if not is_trust:
        resources = _words(found, "Resource", "Policy statement must contain resources.")
        for resource in resources.patterns:
            if (resource != "*" and resource.count(":") < 5) or not resource.startswith(("*", "arn:")):
                raise malformed(f'Resource {resource} must be in ARN format or "*".')
    return Statement(effect, actions, resources, _trusted(found["Principal"]) if is_trust else None, _conditions(found))


def _check_members(found: dict[str, Any], *, is_trust: bool) -> None:
    unknown = found.keys() - {
        *("Sid", "Effect", "Action", "NotAction", "Condition", "Principal", "NotPrincipal", "Resource", "NotResource")
    }
    if unknown or not isinstance(found.get("Sid", ""), str):
        raise malformed("Syntax errors in policy.")
    if "NotPrincipal" in found:
        raise malformed("NotPrincipal is not supported by Amiable.")
    if is_trust and (found.keys() & {"Resource", "NotResource"}):
        raise malformed("Has prohibited field Resource.")
    if is_trust and "Principal" not in found:
        raise malformed("Missing required field Principal.")
    if not is_trust and "Principal" in found:
        raise malformed("Policy document should not specify a principal.")


def _words(found: dict[str, Any], name: str, missing: str) -> Words:
    if (name in found) == (f"Not{name}" in found):
        raise malformed(missing if name not in found else "Syntax errors in policy.")
    is_negated = name not in found
    return Words(_texts(found[f"Not{name}" if is_negated else name]), is_negated)


def _texts(value: Any) -> tuple[str, ...]:
    """One text or a list of some; a policy variable in one is refused."""
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise malformed("Syntax errors in policy.")
    for text in texts:
        if "${" in text:
            raise malformed(f"Policy variables are not supported by Amiable: {text[:100]}.")
    return tuple(texts)


def _trusted(value: Any) -> Trusted:
    named = {"AWS": value} if value == "*" else value
    if not isinstance(named, dict) or not named:
        raise malformed("Invalid principal in policy.")
    other = named.keys() - {"AWS", "Service"}
    if other:
        raise malformed(f"Principals of the kind {sorted(other)[0][:20]} are not supported by Amiable.")
    accounts = _texts(named["AWS"]) if "AWS" in named else ()
    services = _texts(named["Service"]) if "Service" in named else ()
    for form, kind, texts in ((_ACCOUNT, "AWS", accounts), (_SERVICE, "SERVICE", services)):
        for text in texts:
            if not form.fullmatch(text):
                raise malformed(f'Invalid principal in policy: "{kind}":"{text[:200]}"')
    return Trusted(accounts, services)


def _conditions(found: dict[str, Any]) -> tuple[Condition, ...]:
    block = found.get("Condition", {})
    if not isinstance(block, dict) or not all(isinstance(each, dict) for each in block.values()):
        raise malformed("Syntax errors in policy.")
    conditions = []
    for operator, keys in block.items():
        if operator not in OPERATORS and operator not in NEGATED:
            raise malformed(f"The condition operator {operator[:60]} is not supported by Amiable.")
        for key, values in keys.items():
            if key.lower() not in CONDITION_KEYS:
                raise malformed(f"The condition key {key[:60]} is not supported by Amiable.")
            conditions.append(Condition(operator, key.lower(), _texts(values)))
    return tuple(conditions)
