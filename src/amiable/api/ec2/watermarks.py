"""AttachImageWatermark and DetachImageWatermark: the owner's marks on its images."""

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.images import check_image_id, owned_image
from amiable.database import watermarks
from amiable.model.principal import Principal
from amiable.model.watermark import Watermark
from amiable.rules import watermark as rules
from amiable.services import Services
from amiable.wire.generated import ec2


def attach_image_watermark(
    services: Services, principal: Principal, request: ec2.AttachImageWatermarkRequest
) -> ec2.AttachImageWatermarkResult:
    """Marks an image; one of the same key that is there already stays as it is."""
    check_image_id(request.image_id)
    rules.check_name(request.watermark_name)
    with services.database.write_and_answer() as c:
        image = owned_image(c, principal, request.image_id)
        mark = Watermark(
            name=request.watermark_name,
            account_id=principal.account_id,
            source_image_id=image.id,
            source_image_region=image.region,
            source_image_created_at=image.created_at,
            created_at=services.now(),
        )
        if mark.key not in {each.key for each in image.watermarks}:
            rules.check_attach(image)
        raise_if_dry_run(request)
        watermarks.attach(c, image.id, mark)
    return ec2.AttachImageWatermarkResult(watermark_key=mark.key)


def detach_image_watermark(
    services: Services, principal: Principal, request: ec2.DetachImageWatermarkRequest
) -> ec2.DetachImageWatermarkResult:
    """Takes a watermark away; what was made from the image keeps it.  Succeeds where there is none."""
    check_image_id(request.image_id)
    rules.check_key(request.watermark_key)
    with services.database.write_and_answer() as c:
        image = owned_image(c, principal, request.image_id)
        raise_if_dry_run(request)
        watermarks.detach(c, image.id, request.watermark_key)
    return ec2.DetachImageWatermarkResult(return_=True)
