"""Only a whole block that an RSA key can have made is a password; whatever else a guest prints is none."""

import base64

import pytest

from amiable.rules.password_data import TEXT_BYTES_MAX, last_password

WHOLE = base64.b64encode(bytes(range(256))).decode()


def block(text: str, end: str = "\r\n") -> bytes:
    return f"<Password>{end}{text}{end}</Password>{end}".encode()


@pytest.mark.parametrize("end", ["\r\n", "\n", ""])
def test_the_block_that_windows_agents_print_is_found(end: str) -> None:
    around = b"<Username>Administrator</Username>\r\n" + block(WHOLE, end) + b"Message: Windows is Ready to use\r\n"
    assert last_password(around) == WHOLE


def test_base64_that_was_folded_is_one_text() -> None:
    folded = "\r\n".join(WHOLE[at : at + 76] for at in range(0, len(WHOLE), 76))
    assert last_password(block(folded)) == WHOLE


def test_the_last_whole_block_counts() -> None:
    other = base64.b64encode(bytes(256)).decode()
    assert last_password(block(WHOLE) + block(other) + b"<Password>") == other
    assert last_password(block(WHOLE) + block("none")) == WHOLE


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<Password>",
        b"</Password>",
        block(""),
        block("AAAA"),
        block("not base64!" * 30),
        block(WHOLE)[:-13],
        b"<Password>" + b" " * TEXT_BYTES_MAX + WHOLE.encode() + b"</Password>",
        b"\xff\x00</Password>" * 1000,
    ],
    ids=["nothing", "begin", "end", "empty", "short", "no base64", "cut", "long", "ends"],
)
def test_what_no_rsa_key_made_is_no_password(text: bytes) -> None:
    assert last_password(text) is None
