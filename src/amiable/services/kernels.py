"""Who may register kernels and ramdisks, and a kernel's bytes where they lie, ``kernels/<id>``, looked at."""

from pathlib import Path

from amiable.database import accounts
from amiable.model.kernel import KernelFacts, KernelKind
from amiable.model.principal import Principal
from amiable.rules.kernel_kind import inspect_kernel
from amiable.rules.kernel_payload import FILE_BYTES_MAX
from amiable.services import Services


def may_register(services: Services, principal: Principal) -> bool:
    """Whether the caller may register kernels and ramdisks: the administrator, and partners."""
    if principal.is_administrator:
        return True
    with services.database.read() as c:
        account = accounts.find_account(c, principal.account_id)
    return account is not None and account.is_partner


def look_at(path: Path) -> KernelFacts:
    """What the kernel in the file is; a file that is not there is unknown too."""
    try:
        with path.open("rb") as file:
            return inspect_kernel(file.read(FILE_BYTES_MAX + 1))
    except FileNotFoundError:
        return KernelFacts(KernelKind.UNKNOWN, None, boots_directly=True, why="it has no bytes here")
