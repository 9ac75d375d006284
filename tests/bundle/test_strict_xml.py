"""The parser that takes a manifest's elements alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amiable.bundle.strict_xml import TEXT_CHARACTERS_MAX, Element, parse, serialise
from amiable.model.errors import BundleRefusal

texts = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), max_size=30)


@settings(deadline=None)
@given(name=texts, release=texts, count=texts)
def test_what_is_serialised_is_parsed_again(name: str, release: str, count: str) -> None:
    bundler = Element("bundler", children=[Element("name", name), Element("release", release)])
    part = Element("part", attribute=count, children=[Element("filename", name)])
    for element in (bundler, Element("parts", attribute=count, children=[part, part])):
        assert parse(serialise(element).encode(), element.tag) == element


@pytest.mark.parametrize(
    ("document", "offence"),
    [
        ("<image>", "not well-formed"),
        ("<image/><image/>", "not well-formed"),
        ("<manifest/>", "outermost element is <manifest>"),
        ("<image><manifest/></image>", "<manifest> does not belong in <image>"),
        ("<image><size><size/></size></image>", "<size> does not belong in <size>"),
        ("<image>text</image>", "<image> has text"),
        ("<image><size a='1'>1</size></image>", "unknown attribute 'a'"),
        (f"<image><size>{'1' * (TEXT_CHARACTERS_MAX + 1)}</size></image>", "more than 65536 characters"),
        ("<image xmlns='urn:x'/>", "unknown attribute 'xmlns'"),
        ("<image><size>1<!-- 2 --></size></image>", "a comment in <size>"),
        ("<image><?php 1?></image>", "a processing instruction in <image>"),
        ("<image><name><![CDATA[x]]></name></image>", "a CDATA section in <name>"),
        ("<!-- 1 --><image/>", "a comment outside of all elements"),
    ],
)
def test_anything_else_is_refused_and_named(document: str, offence: str) -> None:
    with pytest.raises(BundleRefusal, match=offence) as refused:
        parse(document.encode(), "image")
    assert refused.value.stage == "manifest"
