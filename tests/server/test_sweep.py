"""What is left on a host of what is gone goes, and nothing else."""

from amiable.database import network
from amiable.model.principal import Principal
from amiable.server.sweep import sweep_fabrics
from amiable.services import Services
from amiable.vm import fabric
from amiable.vm.directory import locked


def test_the_directory_of_a_vpc_that_is_gone_goes_and_one_that_is_there_or_in_use_stays(
    services: Services, principal: Principal
) -> None:
    with services.database.read() as c:
        (vpc,) = network.list_vpcs(c, principal.account_id, principal.region)
    gone = "vpc-00000000000000001"
    for vpc_id in (vpc.id, gone):
        with fabric.open_fabric(services.data, vpc_id, make=True) as folder:
            folder.write("log", b"words")
    with fabric.open_fabric(services.data, gone) as folder, locked(folder):
        sweep_fabrics(services)
    assert fabric.list_fabrics(services.data) == sorted([vpc.id, gone])
    sweep_fabrics(services)
    assert fabric.list_fabrics(services.data) == [vpc.id]
