"""Why an image or a snapshot is still there."""

from amiable.api.ec2.images import check_image_id
from amiable.api.ec2.snapshots import check_snapshot_id
from amiable.model import ids
from amiable.model.principal import Principal
from amiable.services import Services, why
from amiable.services.why import Why


def explain(services: Services, principal: Principal, resource_id: str) -> Why:
    """What keeps it, and what would come free with it; for its owner and the administrator."""
    if ids.prefix_of(resource_id) == ids.SNAPSHOT:
        check_snapshot_id(resource_id)
    else:
        check_image_id(resource_id)
    with services.database.read() as c:
        return why.explain(services, c, principal, resource_id)
