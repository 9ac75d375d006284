"""Whether the hypervisor for 32-bit paravirtual guests is there: it is built on request, not with the appliance."""

from pathlib import Path

from amiable.model.errors import Unsupported
from amiable.services import Services


def has_pv32(services: Services) -> bool:
    """Whether ``amiable kernel build-pv32`` has been run on this host."""
    return (Path(services.settings.appliance) / "pv32" / "xen").is_file()


def check_pv32(services: Services, kernel_id: str | None) -> None:
    """Refuses a launch that would need it before anything is made."""
    if not has_pv32(services):
        raise Unsupported(
            f"The kernel {kernel_id} is of 32 bits: under Xen it needs the hypervisor for 32-bit guests, which is not built here.",
            hint="amiable kernel build-pv32",
        )
