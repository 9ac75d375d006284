"""Numbers of the command line."""

from collections.abc import Iterator
from typing import Annotated, Any, get_args

import cyclopts
import pytest
from cyclopts import Parameter

from amiable.cli.main import app, main
from amiable.cli.whole import whole


def commands(parent: cyclopts.App) -> Iterator[cyclopts.App]:
    for name in parent:
        if not name.startswith("-"):
            yield parent[name]
            yield from commands(parent[name])


def takes_int(hint: Any) -> bool:
    return hint is int or any(takes_int(inner) for inner in get_args(hint))


def test_every_whole_number_of_every_command_is_read_as_one() -> None:
    found = {
        f"{' '.join(command.name)} {argument.name}": argument.parameter.converter
        for command in commands(app)
        if command.default_command is not None
        for argument in command.assemble_argument_collection()
        if takes_int(argument.hint)
    }
    assert len(found) >= 15
    assert {name for name, converter in found.items() if converter is not whole} == set()


@pytest.mark.parametrize("text", ["1.5", "2.0", "1e3", "0x10", "١", "1_000", "", " 1"])
def test_what_is_no_whole_number_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["volume", "resize", "vol-0123456789abcdef0", text]) == 2
    assert f"'{text}' is no whole number" in capsys.readouterr().err


def test_signs_and_lists_are_read() -> None:
    reader = cyclopts.App(result_action="return_value")

    @reader.default
    def told(*numbers: Annotated[int, Parameter(converter=whole, allow_leading_hyphen=True)]) -> tuple[int, ...]:
        return numbers

    assert reader(["12", "-3", "+4"]) == (12, -3, 4)
