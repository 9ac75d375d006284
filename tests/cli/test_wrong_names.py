"""A name or an id that can name nothing is refused by every command as what it is: never as a wrong key, never as our bug."""

import pytest

from amiable.cli.client import in_path
from amiable.cli.main import main
from amiable.model.errors import LocalRefusal
from tests.server.edge import Edge

COMMANDS = [
    "access-key delete X",
    "account alias X none",
    "account partner X on",
    "channel delete X",
    "channel history X",
    "channel promote X ami-0123456789abcdef0",
    "channel rollback X",
    "channel share X",
    "channel show X",
    "image copy X --name abc",
    "image create X --name abc",
    "image deregister X",
    "image find X",
    "image show X",
    "image why X",
    "instance console X --all",
    "instance show X",
    "instance ssh X",
    "instance timeline X",
    "kernel approve X",
    "kernel deregister X",
    "key-pair delete X",
    "launch X",
    "launch resolve:digest:X",
    "name-guard distrust X",
    "organization create-unit X a",
    "organization delete X",
    "organization delete-unit X ou-0123-01234567",
    "organization join X 123456789012",
    "organization leave X 123456789012",
    "organization show X",
    "product attach X ami-0123456789abcdef0",
    "product price X --hourly 1",
    "product show X",
    "product statement --month X",
    "product subscribe X",
    "product subscriptions X",
    "product unsubscribe X",
    "recycle-bin restore X",
    "recycle-bin rule show X",
    "snapshot create X",
    "snapshot delete X",
    "volume attach X i-0123456789abcdef0",
    "volume detach X",
    "volume resize X 8",
    "volume show X",
]


def test_what_names_nothing_is_refused_as_that(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    administrators = ("account ", "organization ", "kernel approve")
    for command in COMMANDS:
        for name in ("", "é/b"):
            words = [word.replace("X", name) if word in ("X", "resolve:digest:X") else word for word in command.split()]
            code, said = main(words), capsys.readouterr()
            assert code in (1, 2), (words, said)
            assert said.out == "" and said.err.startswith("error: ")
            assert "access key" not in said.err or command.startswith("access-key"), (words, said)
            assert "is not valid for this web service" not in said.err, (words, said)
            if not name and not command.startswith(administrators):
                assert "\n\nhint: " in said.err, (words, said)


def test_a_name_is_one_segment_of_a_path() -> None:
    assert [in_path(name) for name in ("a b", "a/b", "é", "%2e", "...")] == ["a%20b", "a%2Fb", "%C3%A9", "%252e", "..."]
    for name in ("", ".", ".."):  # what signs a path would take it away
        with pytest.raises(LocalRefusal, match="names nothing"):
            in_path(name)
