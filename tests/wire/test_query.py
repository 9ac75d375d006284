"""The plain query protocol, which STS and IAM speak, against botocore."""

import xml.etree.ElementTree as ElementTree

import pytest

from amiable.model.errors import InvalidAction, NoSuchVersion, NotImplementedAction, UnknownParameter
from amiable.wire import operations, query
from amiable.wire.ec2_query import take_frame
from amiable.wire.generated import iam, sts
from amiable.wire.parameters import Node, parse
from amiable.wire.query_codec import QueryCodec
from amiable.wire.shape import ListOf, Member, Operation, Scalar, Service, Shape, Structure
from tests.wire import oracle

PROTOCOLS = {"sts": (query.STS, sts), "iam": (query.IAM, iam)}
NAMED = [(service, name) for service in PROTOCOLS for name in operations.SERVICES[service]]


@pytest.mark.parametrize(("service", "name"), NAMED)
@pytest.mark.parametrize("seed", range(5))
def test_requests_and_answers_agree_with_the_client(service: str, name: str, seed: int) -> None:
    protocol, generated = PROTOCOLS[service]
    model = oracle.model(service).operation_model(name)
    maker = oracle.Maker(seed, chance=0.7)
    asked = maker.value(model.input_shape)
    root = parse(oracle.form(service, name, asked))
    operation = protocol.operation_of(take_frame(root, protocol.versions)[0])
    assert oracle.agrees(model.input_shape, protocol.read_request(operation, root), asked)
    answered = maker.value(model.output_shape) if model.output_shape else {}
    result = oracle.typed(generated, model.output_shape, answered) if model.output_shape else None
    body = protocol.write_response(operation, result, request_id="r-1")
    told = oracle.parse(service, name, body)
    assert {
        member: value for member, value in told.items() if value != []
    } == answered  # a set is there even when empty
    assert b"<ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata>" in body


def test_unknown_things_are_refused() -> None:
    with pytest.raises(NotImplementedAction):
        query.STS.operation_of("AssumeRoleWithSAML")
    with pytest.raises(InvalidAction):
        query.STS.operation_of("MakeCoffee")
    with pytest.raises(NoSuchVersion):
        take_frame(parse("Action=GetCallerIdentity&Version=2016-11-15"), query.STS.versions)
    with pytest.raises(UnknownParameter):
        query.STS.read_request(query.STS.operation_of("GetCallerIdentity"), parse("Colour=red"))


def test_an_error_says_whose_fault_it_is() -> None:
    for fault, word in ((True, "Sender"), (False, "Receiver")):
        root = ElementTree.fromstring(query.STS.write_error("Code", "why", request_id="r-1", is_senders_fault=fault))
        space = "{https://sts.amazonaws.com/doc/2011-06-15/}"
        assert root.findtext(f"{space}Error/{space}Type") == word
        assert root.findtext(f"{space}RequestId") == "r-1"


def codec_with_lists() -> QueryCodec:
    """A codec over a small service with a list and a shape that contains itself, as the plain protocol spells them."""
    import msgspec

    class Tree(msgspec.Struct, kw_only=True, frozen=True):
        names: list[str] | None = None
        branches: list["Tree"] | None = None

    members = (Member("names", "Names", "Names", "Names"), Member("branches", "Branches", "Branches", "Branches"))
    shapes: dict[str, Shape] = {
        "Tree": Structure(Tree, members),
        "Names": ListOf("Name", "member"),
        "Branches": ListOf("Tree", "member"),
        "Name": Scalar("string"),
    }
    service = Service("t", "1", "", shapes, {"Grow": Operation("Grow", "Tree", "Tree")}, frozenset())
    return QueryCodec(service, list_infix="member.")


def test_lists_have_member_in_their_names_and_a_shape_may_contain_itself() -> None:
    codec = codec_with_lists()
    root: Node = parse("Names.member.2=b&Names.member.1=a&Branches.member.1.Branches.member.1.Names.member.1=c")
    tree = codec.read("Tree", root)
    assert tree.names == ["a", "b"]
    assert tree.branches[0].branches[0].names == ["c"]
    assert codec.write_result("Tree", tree).count("<member>") == 5
    with pytest.raises(UnknownParameter):
        codec.read("Tree", parse("Names.1=a"))


def test_an_empty_list_is_sent_as_an_empty_value() -> None:
    assert codec_with_lists().read("Tree", parse("Names=")).names == []
