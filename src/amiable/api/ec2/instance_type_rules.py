"""ReplaceImageInstanceTypeSpecification: which instance types may launch an image."""

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.images import check_image_id, owned_image
from amiable.database import instance_type_rules
from amiable.model.principal import Principal
from amiable.rules.instance_type_rule import plan_rule
from amiable.services import Services
from amiable.wire.generated import ec2


def replace_image_instance_type_specification(
    services: Services, principal: Principal, request: ec2.ReplaceImageInstanceTypeSpecificationRequest
) -> ec2.ReplaceImageInstanceTypeSpecificationResult:
    """Sets both lists of the image's rule; a request without any takes the rule away."""
    check_image_id(request.image_id)
    asked = request.instance_type_specification or ec2.InstanceTypeSpecificationRequest()
    rule = plan_rule(asked.supported_instance_types or [], asked.unsupported_instance_types or [])
    with services.database.write_and_answer() as c:
        image = owned_image(c, principal, request.image_id)
        raise_if_dry_run(request)
        instance_type_rules.replace_rule(c, image.id, rule)
    return ec2.ReplaceImageInstanceTypeSpecificationResult(return_value=True)
