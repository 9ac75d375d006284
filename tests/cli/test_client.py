"""The client's own refusals: an endpoint that is none, an answer of someone else, a rehearsal."""

import base64
import http.server
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.exceptions import ParamValidationError

from amiable.cli import doctor, events
from amiable.cli.bundle.boot_images import EXIT_NO_SOURCE, source_images
from amiable.cli.client import client, is_http_url, session, the_image, wait_for
from amiable.cli.hints import OTHER_SERVER
from amiable.cli.image_build import deregister_after_failure
from amiable.cli.main import complain_of_client, main
from amiable.cli.upload import delete_after_failure
from amiable.model.errors import LocalRefusal
from amiable.model.image import Image
from amiable.model.kernel import KernelKind
from amiable.model.principal import Principal
from amiable.services import Services
from tests.api.ec2.launching import make_image, make_kernel
from tests.server.edge import Edge, running_edge
from tests.server.fake_machine import running_instance
from tests.support.services import make_account
from tests.support.toy_server import BROKEN_OFF, answer, toy_server


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.mark.parametrize(
    "text", ["nonsense", "localhost:8775", "ftp://host", "http://", "http://host:port", "http://[::1"]
)
def test_an_endpoint_that_is_no_url_is_a_usage_error(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not is_http_url(text)
    monkeypatch.setenv("AWS_ENDPOINT_URL", text)
    for words in (["image", "list"], ["account", "list"]):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert text in said and "hint: " in said and "bug" not in said


@pytest.mark.parametrize("text", ["http://127.0.0.1:8775", "https://host", "http://[::1]:1", "http://host/path"])
def test_an_endpoint_that_is_one_is_taken(text: str) -> None:
    assert is_http_url(text)


class Stranger(http.server.BaseHTTPRequestHandler):
    """Answers everything with a page."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))  # a close before it would break what is still sent
        body = b"<html>hello<"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def stranger() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_another_kind_of_server_is_named_as_such(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with stranger() as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        serial = ["instance", "console", "i-0123456789abcdef0", "--interactive"]
        for words in (["image", "list"], ["account", "list"], serial):
            assert main(words) == 69
            said = capsys.readouterr().err
            assert "no Amiable server" in said and f"\n\nhint: {OTHER_SERVER}\n" in said


def test_a_server_that_does_not_run_is_said_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken, and not listened on
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        serial = ["instance", "console", "i-0123456789abcdef0", "--interactive"]
        for words in (["image", "list"], ["account", "list"], serial):
            assert main(words) == 69
            said = capsys.readouterr().err
            assert "hint: is the server running?" in said and "AWS_ENDPOINT_URL" not in said


@pytest.mark.parametrize(("named", "region"), [("eu-west-1", "eu-west-1"), ("", "us-east-1"), (None, "us-east-1")])
def test_the_region_called_is_aws_regions_where_that_is_set(
    named: str | None, region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if named is not None:
        monkeypatch.setenv("AWS_REGION", named)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert session().region_name == region
    assert client("ec2").meta.region_name == region


def test_what_botocore_refuses_by_itself_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(ParamValidationError) as refused:
        client("ec2").copy_image(Name="a", SourceImageId="ami-1", SourceRegion="us-east-1")
    assert complain_of_client(refused.value) == 1
    assert capsys.readouterr().err == "error: Invalid length for parameter Name, value: 1, valid min length: 3\n"


def test_who_ends_a_wait_is_told_of_what(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait_for("i-0123456789abcdef0 to run", interrupt, 60)
    assert capsys.readouterr().err == "no longer waiting for i-0123456789abcdef0 to run\n"


@contextmanager
def speaking_for(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", edge.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", edge.account.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", edge.account.secret)
    yield


def foreign_image(services: Services) -> Image:
    _, owner = make_account(services, "owner")
    return make_image(services, owner, grantees=frozenset({"all"}))


def test_what_would_be_refused_is_not_promised(
    services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    account, principal = make_account(services, "other")
    theirs, ours = foreign_image(services), make_image(services, principal)
    with running_edge(services, account) as edge, speaking_for(edge, monkeypatch):
        assert main(["image", "deregister", theirs.id]) == 1
        said = capsys.readouterr().err
        assert "AuthFailure" in said and "would" not in said and "only its owner" in said
        with pytest.raises(SystemExit):
            main(["image", "deregister", ours.id])
        assert f"would deregister {ours.id}" in capsys.readouterr().err
        assert edge.client("ec2").describe_images(ImageIds=[ours.id])["Images"][0]["State"] == "available"


def test_a_rehearsed_termination_terminates_nothing(
    services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    account, principal = make_account(services, "owner")
    instance_id = running_instance(services, principal)
    with running_edge(services, account) as edge, speaking_for(edge, monkeypatch):
        with pytest.raises(SystemExit):
            main(["instance", "terminate", instance_id])
        assert f"would terminate {instance_id} (running" in capsys.readouterr().err
        assert main(["instance", "show", instance_id]) == 0
    shown = capsys.readouterr().out
    assert "running" in shown and "{" not in shown


def test_a_list_has_a_heading_over_every_column_and_one_form_of_dates(
    services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    account, principal = make_account(services, "owner")
    image = make_image(services, principal)
    with running_edge(services, account) as edge, speaking_for(edge, monkeypatch):
        assert main(["image", "list"]) == 0
        listed = capsys.readouterr().out
        assert main(["image", "show", image.id]) == 0
    assert listed.splitlines()[0].split()[-2:] == ["VISIBILITY", "CREATED"]
    assert f"private     {image.created_at:%Y-%m-%d }" in listed
    assert "{" not in capsys.readouterr().out


def test_a_launch_and_an_instance_show_the_hardware_profile_and_why(
    services: Services, administrator: Principal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    account, principal = make_account(services, "owner")
    facts = {"kernel_kind": KernelKind.XEN_PV64, "boots_directly": False, "kernel_kind_why": "gzip, Xen PV of linux"}
    kernel = make_kernel(services, administrator, **facts)
    image = make_image(services, principal, virtualization_type="paravirtual", kernel_id=kernel.id)
    with running_edge(services, account) as edge, speaking_for(edge, monkeypatch):
        assert main(["launch", image.id]) == 0
        said = capsys.readouterr()
        why = "the kernel starts under Xen only: gzip, Xen PV of linux"
        assert f"hardware profile xen-pv: {why}\n" in said.err
        assert main(["instance", "show", said.out.strip()]) == 0
        shown = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
        assert (shown["HardwareProfile"], shown["HardwareProfileWhy"]) == ("xen-pv", why)
        assert main(["launch", image.id, "--profile", "direct"]) == 1
    assert "cannot be started directly: gzip, Xen PV of linux" in capsys.readouterr().err


def test_a_kernel_that_is_not_approved_says_who_may_approve_it(
    services: Services, administrator: Principal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    account, principal = make_account(services, "owner")
    kernel = make_kernel(services, administrator, approved_at=None)
    image = make_image(services, principal, virtualization_type="paravirtual", kernel_id=kernel.id)
    with running_edge(services, account) as edge, speaking_for(edge, monkeypatch):
        assert main(["launch", image.id]) == 1
    said = capsys.readouterr().err
    assert f"amiable kernel approve {kernel.id}" in said and "image share" not in said


def test_an_image_that_is_not_shared_says_who_must_share_it(
    services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    account, _ = make_account(services, "other")
    _, owner = make_account(services, "owner")
    image = make_image(services, owner)
    with running_edge(services, account) as edge, speaking_for(edge, monkeypatch):
        assert main(["launch", image.id]) == 1
    said = capsys.readouterr().err
    assert f"amiable image share {image.id} --account" in said and "access key" not in said


def test_a_launch_with_a_role_whose_user_data_is_encoded_already_says_so(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    account, principal = make_account(services, "owner")
    image = make_image(services, principal)
    file = tmp_path / "script.b64"
    file.write_bytes(base64.b64encode(b"#!/bin/sh\n"))
    with running_edge(services, account) as edge, speaking_for(edge, monkeypatch):
        assert main(["launch", image.id, "--user-data", str(file), "--role", "absent"]) == 1
        said = capsys.readouterr().err
        assert f"warning: {file} looks like base64" in said and "Invalid IAM Instance Profile name" in said


def test_user_data_that_is_too_large_is_refused_by_name_and_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "script.sh"
    file.write_bytes(b"#" * (16 * 1024 + 1))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nothing listens: who asks gets another error
    assert main(["launch", "ami-0123456789abcdef0", "--user-data", str(file)]) == 1
    said = capsys.readouterr().err
    assert str(file) in said and "16385 bytes" in said and "16384" in said


@pytest.mark.parametrize("broken", BROKEN_OFF)
def test_an_answer_that_breaks_off_is_told_as_a_lost_connection(
    broken: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # botocore's pauses between its tries
    with toy_server(BROKEN_OFF[broken]) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        for words in (["image", "list"], ["account", "list"], ["bundle", "delete", "-b", "x", "-p", "y", "--no-retry"]):
            assert main(words) == 69
            said = capsys.readouterr().err
            assert "Connection was closed" in said and "is the server running?" in said and "bug" not in said


def test_an_answer_that_breaks_off_once_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    whole = answer(b"<DescribeImagesResponse><imagesSet/></DescribeImagesResponse>")
    with toy_server(BROKEN_OFF["half a body"], whole) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        assert main(["image", "list"]) == 0
        assert server.asked == 2


def test_the_doctor_and_a_followed_log_take_it_for_a_server_that_is_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = b'{"Events": [], "Last": 7}'
    with toy_server(BROKEN_OFF["no body"], BROKEN_OFF["half a body"], answer(lines)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        assert [(each.verdict, each.words) for each in doctor.server()] == [
            ("broken", f"no answer at {server.endpoint}")
        ]
        assert events.page_after(3) == ([], 7)
        assert "the server is away" in capsys.readouterr().err


def test_what_a_failed_import_cannot_take_back_is_said_where_the_answer_breaks_off_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    for nothing in (BROKEN_OFF["no body"], answer(b"<html>hello<")):
        with toy_server(nothing) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
            delete_after_failure(client("ec2"), "snap-1", "stays pending")
            deregister_after_failure(client("ec2"), "ami-1")
            said = capsys.readouterr().err
            assert "snap-1 stays pending" in said and "ami-1 stays" in said
            with pytest.raises(LocalRefusal) as caught:
                source_images(client("ec2"), ["aki-1"])
            assert caught.value.exit_code == EXIT_NO_SOURCE


def test_an_image_that_describe_images_leaves_out_was_deregistered() -> None:
    class LeavesOut:
        def describe_images(self, **_: object) -> dict[str, list[object]]:
            return {"Images": []}

    with pytest.raises(LocalRefusal, match="ami-0123456789abcdef0 was deregistered") as caught:
        the_image(LeavesOut(), "ami-0123456789abcdef0")
    assert caught.value.advice == "amiable image list"
