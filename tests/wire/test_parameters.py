"""A form's parameters: decoded as urllib decodes them, and put into a tree."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import MalformedQueryString
from amiable.wire.parameters import PARAMETERS_MAX, parse

FORMS = st.text(alphabet="aB1.=&+%2C6e9é%", max_size=40)


@given(FORMS)
def test_a_form_means_what_urllib_says(form: str) -> None:
    try:
        pairs = parse_qsl(form, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        with pytest.raises(MalformedQueryString, match="UTF-8"):
            parse(form)
        return
    if len({name for name, _ in pairs}) < len(pairs):
        with pytest.raises(MalformedQueryString, match="twice"):
            parse(form)
        return
    root = parse(form)
    for name, value in pairs:
        node = root
        for part in name.split("."):
            node = node.children[part]
        assert node.value == value


@pytest.mark.parametrize(("count", "is_refused"), [(PARAMETERS_MAX, False), (PARAMETERS_MAX + 1, True)])
def test_a_form_has_so_many_parameters_and_no_more(count: int, is_refused: bool) -> None:
    form = "&".join(f"N.{number}=v" for number in range(count))
    if is_refused:
        with pytest.raises(MalformedQueryString, match="more than"):
            parse(form)
    else:
        assert len(parse(form).children["N"].children) == count
