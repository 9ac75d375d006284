"""``amiable kernel``: kernels (AKI) and ramdisks (ARI) that paravirtual images point to."""

from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter

from amiable.cli.architecture import architecture_of
from amiable.cli.bundle.options import Cert, Key, WaiveSignature
from amiable.cli.chosen import Yes, each_once, end_unless_meant, rehearse_each
from amiable.cli.client import call, client, in_path, the_image
from amiable.cli.output import Output, say, show_rows
from amiable.model.errors import LocalRefusal
from amiable.rules import kernel_bytes

app = cyclopts.App(
    name="kernel", help="Kernels and ramdisks for paravirtual images: add, list, approve, deregister; PV-GRUB and Xen."
)

app.command(
    "amiable.cli.kernel_build:add_pv_grub",
    name="add-pv-grub",
    help="Builds PV-GRUB and adds it as kernels: images then boot by their own menu.lst (administrator only).",
)
app.command(
    "amiable.cli.kernel_build:appliance", name="appliance", help="Assembles the Xen appliance now. Prints its folder."
)
app.command(
    "amiable.cli.kernel_build:build_pv32",
    name="build-pv32",
    help="Builds the hypervisor for 32-bit paravirtual guests (about a minute). Prints its path.",
)

COLUMNS = {
    "image": "ImageId",
    "type": "ImageType",
    "name": "Name",
    "arch": "Architecture",
    "kind": "Kind",
    "version": "Version",
    "approved": "Approved",
    "visibility": "Visibility",
    "owner": "OwnerId",
}
PV_GRUB = {"hd0": "pv-grub-hd0", "hd00": "pv-grub-hd00"}
Ids = Annotated[str, Parameter(help="Kernel (aki-…) or ramdisk (ari-…).")]


@app.command
def add(
    *,
    kernel: Annotated[Path | None, Parameter(help="Kernel file (bzImage, ELF or gzip).")] = None,
    ramdisk: Annotated[Path | None, Parameter(help="Ramdisk file (initrd).")] = None,
    manifest: Annotated[
        Path | None, Parameter(name=["--manifest", "-m"], help="A kernel's or ramdisk's bundle on this disk.")
    ] = None,
    location: Annotated[str | None, Parameter(help="A bundle in a bucket: BUCKET/PATH/NAME.manifest.xml.")] = None,
    name: Annotated[
        str | None, Parameter(help="Name; default: the file's. Both files: NAME-kernel, NAME-ramdisk.")
    ] = None,
    arch: Annotated[
        str | None, Parameter(help="Architecture: x86_64 or i386. Default: the bundle's, or x86_64.")
    ] = None,
    description: Annotated[str, Parameter(help="Description of what is made.")] = "",
    pv_grub: Annotated[
        Literal["hd0", "hd00"] | None, Parameter(help="The kernel is a PV-GRUB that looks there (administrator only).")
    ] = None,
    cert: Cert = None,
    privatekey: Key = None,
    waive_signature: WaiveSignature = False,
    output: Output = "table",
) -> None:
    """Adds a kernel, a ramdisk or both, from files or from a bundle.  Prints what was made.

    The administrator's are approved and public; a partner's are private until approved (amiable account partner).
    """
    files = {kind: path for kind, path in (("kernel", kernel), ("ramdisk", ramdisk)) if path is not None}
    check_one_source(files or None, manifest, location)
    if pv_grub is not None and kernel is None:
        raise LocalRefusal("--pv-grub is for a kernel file", exit_code=2)
    facts = {
        "Name": name,
        "Architecture": None if arch is None else architecture_of(arch),
        "Description": description,
    }
    if files:
        made = register_files(files, facts, pv_grub)
    else:
        from amiable.cli.kernel_bundle import Keys, add_bundle, register_bundle

        keys = Keys(cert, privatekey, waive_signature)
        made = [add_bundle(manifest, facts, keys) if manifest is not None else register_bundle(str(location), facts)]
    show_rows(made, COLUMNS, output, identifier="ImageId")
    waiting = [row["ImageId"] for row in made if not row["Approved"]]
    if waiting and output != "id":
        say(f"\nnot approved yet: the administrator does it with amiable kernel approve {' '.join(waiting)}")


def check_one_source(*sources: object) -> None:
    """Refuses anything but one source that is there: files, a bundle on this disk, or a bundle in a bucket."""
    if sum(source is not None for source in sources) != 1:
        raise LocalRefusal(
            "what is to be added?",
            hint="--kernel FILE, --ramdisk FILE or both; --manifest FILE; --location BUCKET/KEY",
            exit_code=2,
        )


def register_files(files: dict[str, Path], facts: dict[str, Any], pv_grub: str | None) -> list[dict[str, Any]]:
    """Registers a kernel file, a ramdisk file or both, under names of their own; nothing where one of them is none."""
    for kind, path in files.items():
        check_file(kind, path)
    made = []
    for kind, path in files.items():
        name = facts["Name"] or path.name
        called = f"{name}-{kind}" if facts["Name"] and len(files) > 1 else name
        wanted = {**facts, "Name": called, "Type": kind, "Architecture": facts["Architecture"] or "x86_64"}
        made.append(register_file(path, wanted, PV_GRUB[pv_grub] if pv_grub and kind == "kernel" else None))
    return made


def check_file(kind: str, path: Path) -> None:
    """Refuses a file that is no kernel or no ramdisk (``kind``), as the server would once it was uploaded."""
    with path.open("rb") as file:
        head = file.read(kernel_bytes.HEAD_BYTES)
    if not kernel_bytes.may_be(kind, head):
        words = kernel_bytes.ACCEPTED[kind][1]
        raise LocalRefusal(f"{path} is no {kind} but {kernel_bytes.seen(head)}", hint=f"a {kind} is {words}")


def register_file(path: Path, facts: dict[str, Any], kind: str | None = None) -> dict[str, Any]:
    """Registers one file; ``facts`` are Name, Type, Architecture and Description of POST kernels, ``kind`` a PV-GRUB's."""
    bucket = "amiable-kernels-" + client("sts").get_caller_identity()["Account"]
    key = f"{facts['Name']}/{path.name}"
    s3 = client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.upload_file(str(path), bucket, key)
    try:
        found: dict[str, Any] = call("POST", "/kernels", {**facts, "Bucket": bucket, "Key": key, "Kind": kind})
    finally:
        s3.delete_object(Bucket=bucket, Key=key)
    return found


@app.command(name="list")
def list_(*, output: Output = "table") -> None:
    """Lists the kernels and ramdisks that you see; the administrator sees all."""
    show_rows(call("GET", "/kernels")["Kernels"], COLUMNS, output, identifier="ImageId")


@app.command
def approve(*image: Ids, output: Output = "table") -> None:
    """Puts kernels or ramdisks on the list of those that may be launched (administrator only)."""
    set_approved(image, True, output)


@app.command
def disapprove(*image: Ids, output: Output = "table") -> None:
    """Takes kernels or ramdisks off that list (administrator only); what runs goes on, and is refused at its next start."""
    set_approved(image, False, output)


def set_approved(images: tuple[str, ...], is_approved: bool, output: Output) -> None:
    """Sets or takes the mark of each; the first refusal ends it, and what was done until then is shown."""
    rows: list[dict[str, Any]] = []
    try:
        for each in each_once(images, "kernel"):
            rows.append(call("PUT", f"/kernels/{in_path(each)}/approval", {"Approved": is_approved}))
    finally:
        if rows:
            show_rows(rows, COLUMNS, output, identifier="ImageId")


@app.command
def deregister(*image: Ids, yes: Yes = False) -> None:
    """Deregisters kernels or ramdisks; nothing is done where one may not be.  Prints their ids."""
    wanted, ec2 = each_once(image, "kernel"), client("ec2")
    rehearse_each(ec2.deregister_image, "ImageId", wanted, yes=yes)
    found = [] if yes else [the_image(ec2, each) for each in wanted]
    end_unless_meant(yes, [f"deregister {each['ImageId']} ({each['Name']})" for each in found])
    for each in wanted:
        ec2.deregister_image(ImageId=each)
        print(each)
