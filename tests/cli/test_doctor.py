"""The doctor's word on the server: nothing named is a note, a refusal or a wrong address is broken."""

import os
from pathlib import Path
from typing import Any

import pytest

from amiable.cli.doctor import _accelerator_hint, _network_hint, _route, server, space, unless_closed, xen
from amiable.services import Services
from amiable.vm.host_route import divide
from tests.server.edge import running_edge
from tests.support.services import make_account


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_without_an_endpoint_or_a_key_there_is_nothing_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = server()
    assert (found.verdict, found.words) == ("note", "no access key was found")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    (found,) = server()
    assert found.verdict == "note" and "AWS_ENDPOINT_URL" in found.words
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    (found,) = server()
    assert found.verdict == "broken" and "secret" in found.words.lower()


def test_a_refused_key_is_broken_and_says_what_to_do(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    account, _ = make_account(services, "owner", administrator=True)
    with running_edge(services, account) as edge:
        monkeypatch.setenv("AWS_ENDPOINT_URL", edge.endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFOREIGN000000000")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        (found,) = server()
        assert found.verdict == "broken" and "AuthFailure" in found.words
        assert "not of this server" in found.hint and "amiable env" in found.hint
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", account.access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", account.secret)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
        (found,) = server()
        assert found.verdict == "broken" and found.hint.startswith("export AWS_REGION=us-east-1")


@pytest.mark.parametrize("endpoint", ["nonsense", "http://127.0.0.1:9"])
def test_an_address_where_nothing_answers_is_broken(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    (found,) = server()
    assert found.verdict == "broken" and found.hint


def test_an_appliance_that_is_not_there_is_a_note_with_the_size_of_its_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    lines = [
        "#!/bin/sh",
        "for word do case $word in [a-z]*-image*|[a-z]*) echo \"'http://x/f' ${word}_1_amd64.deb 1048576 SHA256:0\" ;; esac; done",
    ]
    (programs / "apt-get").write_text("\n".join(lines) + "\n")
    (programs / "apt-cache").write_text("#!/bin/sh\necho '  Depends: linux-image-6.1.0-1-amd64'\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    (finding,) = xen(tmp_path / "appliance")
    assert finding.verdict == "note" and "fetches 22.0 MiB" in finding.words  # so many packages
    assert not (tmp_path / "appliance").exists()


def test_an_appliance_that_apt_cannot_give_is_a_note_with_apts_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("apt-get", "apt-cache"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'E: Unable to locate package' >&2; exit 100\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (finding,) = xen(tmp_path / "appliance")
    assert finding.verdict == "note" and "Unable to locate package" in finding.words


def test_a_device_that_is_closed_to_the_server_is_told_with_what_opens_it() -> None:
    assert "usermod -aG kvm" in _accelerator_hint("TCG (/dev/kvm: Permission denied); guests run translated")
    assert _accelerator_hint("TCG (/dev/kvm: No such file or directory)") == _accelerator_hint("TCG, as set") == ""
    closed = "namespace (no tap can be made with /dev/net/tun: Permission denied): each guest alone"
    assert "/dev/net/tun" in _network_hint("namespace", closed)
    assert _network_hint("namespace", "namespace, as set: each guest alone") == _network_hint("routed", "routed") == ""
    assert "user namespaces" in _network_hint("guestfwd", "guestfwd")


def test_a_subnet_without_a_route_is_told_with_what_would_give_it_one() -> None:
    def hint(words: str, is_missing: bool = True) -> str:
        route: dict[str, Any] = {"VpcId": "vpc-1", "CidrBlock": "10.77.1.0/24", "IsMissing": is_missing, "Words": words}
        return _route(route).hint

    _, (outside,) = divide("vpc-1", ["10.77.1.0/24"], "172.31.0.0/16")
    assert (
        hint(outside.words)
        == "amiable proxy reaches its guests; or let the server's --host-routes hold 10.77.1.0/24 too"
    )
    assert hint("no route: the host has a route to 10.77.0.0/16 by eth0").endswith("give the VPC addresses of its own")
    assert hint("guests are dialled by their private addresses", is_missing=False) == ""


def test_a_data_directory_that_is_closed_is_a_finding_beside_the_others(tmp_path: Path) -> None:
    long = tmp_path / ("n" * 300)  # no name of a file: the system refuses it, root too
    (found,) = unless_closed("space", lambda: space(long))
    assert (found.what, found.verdict) == ("space", "broken")
    assert found.words == f"{long}: File name too long" and "--data" in found.hint
    (found,) = unless_closed("space", lambda: space(tmp_path / "none"))
    assert found.verdict in ("ok", "note") and str(tmp_path / "none") in found.words
