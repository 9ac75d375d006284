"""What a command is to act on: at least one thing, each once; and whether it is meant, where something is destroyed."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from amiable.cli.client import rehearse
from amiable.cli.output import say
from amiable.model.errors import LocalRefusal

Yes = Annotated[bool, Parameter(help="Really; without it nothing is done.", negative=())]


def each_once(given: Sequence[str], what: str, *, noun: str | None = None) -> list[str]:
    """The ids in their order, each once; refuses where there is none.  ``noun`` lists them, where ``what`` is no noun itself."""
    if not given:
        raise LocalRefusal(f"which {what}?", hint=f"amiable {noun or what} list shows their ids", exit_code=2)
    return list(dict.fromkeys(given))


def rehearse_each(operation: Callable[..., Any], parameter: str, wanted: Sequence[str], *, yes: bool) -> None:
    """Raises what refuses one of them, before any is touched; a single one that is meant is refused by the call itself."""
    if yes and len(wanted) == 1:
        return
    for each in wanted:
        rehearse(operation, **{parameter: each})


def end_unless_meant(yes: bool, doomed: Sequence[str]) -> None:
    """Without ``yes`` says what would be done, a line each, and ends the command."""
    if yes:
        return
    for words in doomed:
        say(f"would {words}")
    say("\nhint: add --yes to do it")
    raise SystemExit(1)
