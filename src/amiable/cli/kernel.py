"""``amiable kernel``: kernels (AKI) and ramdisks (ARI) that paravirtual images point to."""

from pathlib import Path
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter

from amiable.cli.architecture import architecture_of
from amiable.cli.client import call, client
from amiable.cli.output import Output, show_rows
from amiable.model.errors import LocalRefusal

app = cyclopts.App(name="kernel", help="Kernels and ramdisks for paravirtual images: add, list.")


@app.command
def add(
    *,
    kernel: Annotated[Path | None, Parameter(help="Kernel file (bzImage, ELF or gzip).")] = None,
    ramdisk: Annotated[Path | None, Parameter(help="Ramdisk file (initrd).")] = None,
    name: Annotated[
        str | None, Parameter(help="Name; default: the file's. Both files: NAME-kernel, NAME-ramdisk.")
    ] = None,
    arch: Annotated[str, Parameter(help="Architecture: x86_64 or i386.")] = "x86_64",
    description: str = "",
    output: Output = "table",
) -> None:
    """Adds a kernel, a ramdisk or both (administrator only).  Prints what was made."""
    files = {kind: path for kind, path in (("kernel", kernel), ("ramdisk", ramdisk)) if path is not None}
    if not files:
        raise LocalRefusal("nothing to add", hint="name a file: --kernel FILE, --ramdisk FILE", exit_code=2)
    architecture = architecture_of(arch)
    bucket = "amiable-kernels-" + client("sts").get_caller_identity()["Account"]
    s3 = client("s3")
    s3.create_bucket(Bucket=bucket)
    made: list[dict[str, Any]] = []
    for kind, path in files.items():
        called = path.name if name is None else name if len(files) == 1 else f"{name}-{kind}"
        s3.upload_file(str(path), bucket, f"{called}/{path.name}")
        body = {
            "Name": called,
            "Type": kind,
            "Architecture": architecture,
            "Description": description,
            "Bucket": bucket,
            "Key": f"{called}/{path.name}",
        }
        made.append(call("POST", "/kernels", body))
        s3.delete_object(Bucket=bucket, Key=f"{called}/{path.name}")
    show_rows(
        made,
        {"image": "ImageId", "type": "ImageType", "name": "Name", "arch": "Architecture"},
        output,
        identifier="ImageId",
    )


@app.command(name="list")
def list_(*, output: Output = "table") -> None:
    """Lists the kernels and ramdisks that you may use."""
    filters = [{"Name": "image-type", "Values": ["kernel", "ramdisk"]}]
    rows = client("ec2").describe_images(Filters=filters)["Images"]
    columns = {
        "image": "ImageId",
        "type": "ImageType",
        "name": "Name",
        "arch": "Architecture",
        "created": "CreationDate",
    }
    show_rows(sorted(rows, key=lambda row: row["CreationDate"]), columns, output, identifier="ImageId")
