"""Every setting from one record: flag over variable over file over default; bad ones refused by name."""

import pytest

from amiable.model.errors import LocalRefusal
from amiable.model.settings import SETTINGS, resolve


def test_a_flag_wins_over_a_variable_over_the_file_over_the_default() -> None:
    flags, variables, toml = {"listen": "127.0.0.1:1"}, {"AMIABLE_LISTEN": "127.0.0.1:2"}, {"listen": "127.0.0.1:3"}
    assert resolve(flags, variables, toml, default_data="/d").listen == "127.0.0.1:1"
    assert resolve({}, variables, toml, default_data="/d").listen == "127.0.0.1:2"
    assert resolve({}, {}, toml, default_data="/d").listen == "127.0.0.1:3"
    assert resolve({}, {}, {}, default_data="/d").listen == "127.0.0.1:2006"


def test_defaults_follow_from_other_settings() -> None:
    settings = resolve({"region": "eu-west-1"}, {}, {}, default_data="/d")
    assert settings.zones == ("eu-west-1a",)
    assert settings.database_url == "sqlite:////d/amiable.db"
    assert resolve({}, {}, {"zones": ["a", "b"]}, default_data="/d").zones == ("a", "b")
    for given in ("10.0.0.0/8, 172.31.0.0/16", ["10.0.0.0/8", "172.31.0.0/16"]):
        found = resolve({}, {}, {"host_routes": given}, default_data="/d").host_routes
        assert found == "10.0.0.0/8,172.31.0.0/16"
    assert resolve({"host_routes": ""}, {}, {}, default_data="/d").host_routes == ""


def test_every_region_has_zones_and_the_first_one_those_that_no_other_name_begins() -> None:
    named = {"region": "here", "regions": "there there-2", "zones": "there-2x there-2y rack-1"}
    settings = resolve(named, {}, {}, default_data="/d")
    assert settings.regions == ("here", "there", "there-2")
    assert settings.zones_in("here") == ("rack-1",)
    assert settings.zones_in("there") == ("therea",)
    assert settings.zones_in("there-2") == ("there-2x", "there-2y")


@pytest.mark.parametrize(
    ("flags", "variables", "toml", "named"),
    [
        ({"listen": "nowhere"}, {}, {}, "--listen"),
        ({"listen": "127.0.0.1:70000"}, {}, {}, "--listen"),
        ({}, {"AMIABLE_WORKERS": "none"}, {}, "AMIABLE_WORKERS"),
        ({"host_routes": "10.0.0.1/8"}, {}, {}, "--host-routes"),
        ({}, {}, {"workers": 0}, "workers in the configuration file"),
        ({}, {}, {"wrokers": 2}, "wrokers"),
        ({"accelerator": "hvf"}, {}, {}, "--accelerator"),
    ],
)
def test_a_bad_value_is_refused_and_its_source_is_named(
    flags: dict[str, str], variables: dict[str, str], toml: dict[str, object], named: str
) -> None:
    with pytest.raises(LocalRefusal, match=named):
        resolve(flags, variables, toml, default_data="/d")


def test_every_setting_has_help_and_its_three_spellings_differ() -> None:
    spellings = [spelling for s in SETTINGS for spelling in (s.flag, s.variable, s.toml_key)]
    assert len(set(spellings)) == 3 * len(SETTINGS)
    assert all(s.help.endswith(".") for s in SETTINGS)
