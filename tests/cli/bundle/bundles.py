"""Bundles that the tests of ``amiable bundle`` work on."""

from pathlib import Path

from amiable.cli.main import main
from tests.support.cases import cases_dir

KEYS = cases_dir() / "bundles" / "keys"
CASE = cases_dir() / "bundles" / "good" / "euca34-four-parts" / "small.img.manifest.xml"


def create(image: Path, *more: str) -> int:
    words = ["bundle", "create", "-i", str(image), "-d", str(image.parent), "-r", "x86_64", "--type", "kernel"]
    return main([*words, *more])


def local(*more: str) -> tuple[str, ...]:
    return ("-u", "1234-5678-9012", "--ec2cert", str(KEYS / "ec2.crt"), *more)
