"""``amiable recycle-bin rule``: which deleted images and snapshots are kept, and for how long; the calls are ``aws rbin``'s."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import cyclopts
from cyclopts import Parameter
from cyclopts.validators import Number

from amiable.cli.chosen import Yes, each_once, end_unless_meant
from amiable.cli.client import call, client
from amiable.cli.output import Output, say, show_one, show_rows
from amiable.cli.whole import whole
from amiable.model.errors import LocalRefusal
from amiable.model.retention import DAYS_MAX, IMAGE, SNAPSHOT

KINDS: Final = {"image": IMAGE, "snapshot": SNAPSHOT}
COLUMNS: Final = {
    "rule": "Identifier",
    "type": "ResourceType",
    "days": "Days",
    "keeps": "Keeps",
    "except": "Except",
    "lock": "Lock",
    "description": "Description",
}
RULE_ID: Final = re.compile(r"[0-9A-Za-z]{11}")
UNLOCK_DAYS_MIN, UNLOCK_DAYS_MAX = 7, 30

app = cyclopts.App(name="rule", help="Retention rules: create, list, show, update, lock, unlock, delete.")

RuleId = Annotated[str, Parameter(help="Rule id, as amiable recycle-bin rule list shows it.")]
_DAYS = Parameter(converter=whole, validator=Number(gte=1, lte=DAYS_MAX), help="How many days what is deleted is kept.")
_TAG = Parameter(negative=(), help="KEY or KEY=VALUE: keeps only what has it, or another that is given.")
_EXCEPT = Parameter(
    name="--except", negative=(), help="KEY or KEY=VALUE: keeps all but what has it, or another that is given."
)
_DESCRIPTION = Parameter(help="A text to tell it by.")
_UNLOCK_DAYS: Final = Number(gte=UNLOCK_DAYS_MIN, lte=UNLOCK_DAYS_MAX)


@app.command
def create(
    kind: Annotated[Literal["image", "snapshot"], Parameter(help="What it keeps.")],
    /,
    *,
    days: Annotated[int, _DAYS],
    tag: Annotated[tuple[str, ...], _TAG] = (),
    except_: Annotated[tuple[str, ...], _EXCEPT] = (),
    description: Annotated[str | None, _DESCRIPTION] = None,
    lock: Annotated[
        int | None,
        Parameter(
            converter=whole, validator=_UNLOCK_DAYS, help="Locks it; days from unlocking it until it can be changed."
        ),
    ] = None,
    output: Output = "id",
) -> None:
    """Makes a rule, which bites at once.  Prints its id.

    Without --tag it keeps everything of its kind in the region.  With --lock it is locked from its birth.
    """
    request = _changes(days=days, tag=tag, except_=except_, description=description)
    if lock is not None:
        request["LockConfiguration"] = _lock(lock)
    made = client("rbin").create_rule(ResourceType=KINDS[kind], **request)
    _tell(made, output)
    if output != "json":
        say("\nwhat it comes to, and whether images outlive their snapshots: amiable recycle-bin plan")


@app.command(name="list")
def list_(*, output: Output = "table") -> None:
    """Lists your rules for images and snapshots."""
    show_rows(call("GET", "/retention-rules")["Rules"], COLUMNS, output, identifier="Identifier")


@app.command
def show(rule: RuleId, /, *, output: Output = "table") -> None:
    """Shows one rule, and until when it is locked."""
    _tell(client("rbin").get_rule(Identifier=_form(rule)), output)


@app.command
def update(
    rule: RuleId,
    /,
    *,
    days: Annotated[int | None, _DAYS] = None,
    tag: Annotated[tuple[str, ...], _TAG] = (),
    except_: Annotated[tuple[str, ...], _EXCEPT] = (),
    no_except: Annotated[bool, Parameter(negative=(), help="Makes it keep everything of its kind.")] = False,
    description: Annotated[str | None, _DESCRIPTION] = None,
    output: Output = "table",
) -> None:
    """Changes what is named; --tag and --except take the place of all that stood there.

    What is in the bin already keeps the time that it was given.
    """
    changes = _changes(days=days, tag=tag, except_=except_, description=description)
    if no_except and except_:
        raise LocalRefusal("--except and --no-except exclude each other", exit_code=2)
    if no_except:
        changes["ExcludeResourceTags"] = []
    if not changes:
        raise LocalRefusal("nothing is to be changed", hint="amiable recycle-bin rule update --help", exit_code=2)
    _tell(client("rbin").update_rule(Identifier=_form(rule), **changes), output)


@app.command
def lock(
    rule: RuleId,
    /,
    *,
    days: Annotated[
        int, Parameter(converter=whole, validator=_UNLOCK_DAYS, help="Days from unlocking it until it can be changed.")
    ] = UNLOCK_DAYS_MIN,
    output: Output = "table",
) -> None:
    """Locks a rule that has no tags: it can be neither changed nor deleted, and is unlocked only after a delay."""
    _tell(client("rbin").lock_rule(Identifier=_form(rule), LockConfiguration=_lock(days)), output)


@app.command
def unlock(rule: RuleId, /, *, output: Output = "table") -> None:
    """Begins the delay after which a locked rule can be changed and deleted again."""
    _tell(client("rbin").unlock_rule(Identifier=_form(rule)), output)


@app.command
def delete(*rule: RuleId, yes: Yes = False) -> None:
    """Deletes rules; what is in the bin stays there for its time.  Prints their ids."""
    wanted, rbin = [_form(each) for each in each_once(rule, "rule", noun="recycle-bin rule")], client("rbin")
    found = [rbin.get_rule(Identifier=each) for each in wanted]
    held = [each for each in found if each["LockState"] != "unlocked"]
    if held:  # before any is deleted
        name, state = held[0]["Identifier"], held[0]["LockState"]
        hint = f"amiable recycle-bin rule {'unlock' if state == 'locked' else 'show'} {name}"
        raise LocalRefusal(f"{name} cannot be deleted: its lock is {state}", hint=hint)
    end_unless_meant(yes, [f"delete {_told(each)}" for each in found])
    for each in wanted:
        rbin.delete_rule(Identifier=each)
        print(each)


def _changes(
    *, days: int | None, tag: Sequence[str], except_: Sequence[str], description: str | None
) -> dict[str, Any]:
    """What a request says of a rule; of what was not given nothing."""
    if tag and except_:
        raise LocalRefusal("--tag and --except exclude each other", hint="make two rules", exit_code=2)
    found: dict[str, Any] = {}
    if days is not None:
        found["RetentionPeriod"] = {"RetentionPeriodValue": days, "RetentionPeriodUnit": "DAYS"}
    if tag:
        found["ResourceTags"] = [_match(each) for each in tag]
    if except_:
        found["ExcludeResourceTags"] = [_match(each) for each in except_]
    if description is not None:
        found["Description"] = description
    return found


def _match(text: str) -> dict[str, str]:
    key, sign, value = text.partition("=")
    if not key:
        raise LocalRefusal(f"a tag without a key: '{text}'", hint="KEY or KEY=VALUE", exit_code=2)
    return {"ResourceTagKey": key} | ({"ResourceTagValue": value} if sign else {})


def _lock(days: int) -> dict[str, Any]:
    return {"UnlockDelay": {"UnlockDelayValue": days, "UnlockDelayUnit": "DAYS"}}


def _form(rule: str) -> str:
    """The id; refuses what is none before it stands in a request's path."""
    if not RULE_ID.fullmatch(rule):
        raise LocalRefusal(f"'{rule}' is no id of a rule", hint="amiable recycle-bin rule list")
    return rule


def _told(rule: dict[str, Any]) -> str:
    """The rule as a person knows it again."""
    return f"{rule['Identifier']} ({rule['ResourceType']}, {rule['RetentionPeriod']['RetentionPeriodValue']} days)"


def _tell(answer: dict[str, Any], output: Output) -> None:
    show_one(
        {key: value for key, value in answer.items() if key != "ResponseMetadata"}, output, identifier="Identifier"
    )
