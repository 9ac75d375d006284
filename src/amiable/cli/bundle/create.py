"""``amiable bundle create``: from a disk image to a bundle."""

import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from amiable.cli.bundle.options import Batch, telling
from amiable.cli.bundle.recipe import Image, Making
from amiable.cli.output import Progress, say


def create(
    image: Image,
    *,
    destination: Annotated[Path, Parameter(name=["--destination", "-d"], help="Folder for the bundle.")] = Path(),
    force: Annotated[
        bool, Parameter(negative=(), help="Replace a bundle of that name; the old one goes first.")
    ] = False,
    batch: Batch = False,
    making: Making = Making(),
) -> None:
    """Bundles a disk image: compresses, encrypts, signs, cuts into parts.  Prints the manifest's path."""
    from amiable.bundle import pipeline
    from amiable.bundle.new_file import new_folder

    with making.recipe(image) as recipe, making.recorder() as recorder, Progress("bundle", 0) as progress:
        with new_folder(destination):
            manifest = pipeline.create(recipe, destination, force=force, progress=telling(progress), recorder=recorder)
    print(manifest)
    say(f"\nnext: amiable bundle upload -m {shlex.quote(str(manifest))} -b BUCKET")
