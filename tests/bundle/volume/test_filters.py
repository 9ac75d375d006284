import pytest

from amiable.bundle.volume.filters import Filters


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("root/.ssh/id_rsa", "private"),
        ("root/.ssh/id_ed25519.pub", "private"),
        ("root/.ssh/authorized_keys", "private"),
        ("home/me/.gnupg", "private"),
        ("home/me/.aws/credentials", "private"),
        ("home/me/keys.gpg", "private"),
        ("var/lib/amiable/installation", "private"),
        ("etc/pki/tls/keystore.p12", "private"),
        ("home/me/.bash_history", "history"),
        ("home/me/.psql_history", "history"),
        ("etc/.passwd.swp", "editor's file"),
        ("etc/hosts~", "editor's file"),
        ("var/lib/cloud/instances", "of one instance"),
        ("var/lib/systemd/random-seed", "of one instance"),
    ],
)
def test_secrets_histories_and_what_belongs_to_one_instance_are_left_out(path: str, why: str) -> None:
    assert Filters().reason(path) == why
    assert Filters(secrets=False).reason(path) is None
    assert Filters(included=(path,)).reason(path) is None
    assert Filters(included=(path,), excluded=(path,)).reason(path) == "--exclude"


@pytest.mark.parametrize(
    "path",
    [
        "usr/share/keyrings/debian.gpg",
        "etc/apt/trusted.gpg.d/a.gpg",
        "authorized_keys",
        "etc/passwd",
        "var/lib/cloud/seed",
        "srv/instances",
    ],
)
def test_what_only_looks_alike_is_taken(path: str) -> None:
    assert Filters().reason(path) is None


def test_host_keys_are_left_out_only_where_they_are_made_anew() -> None:
    path = "etc/ssh/ssh_host_ed25519_key"
    assert Filters().reason(path) is None
    assert Filters(host_keys=True).reason(path) == "SSH host key"


def test_what_is_excluded_is_bound_to_the_volume_and_a_star_stays_within_a_name() -> None:
    filters = Filters(excluded=("srv/*.log", "var/**/cache"))
    assert filters.reason("srv/a.log") == "--exclude"
    assert filters.reason("srv/a/b.log") is None
    assert filters.reason("x/srv/a.log") is None
    assert filters.reason("var/a/b/cache") == "--exclude"


def test_a_certificate_is_looked_into_before_it_is_left_out() -> None:
    assert Filters().depends_on_content("etc/ssl/certs/root.pem")
    assert not Filters(included=("etc/ssl/certs/root.pem",)).depends_on_content("etc/ssl/certs/root.pem")
    assert not Filters(secrets=False).depends_on_content("etc/ssl/certs/root.pem")
