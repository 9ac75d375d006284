"""What EC2 refuses of launch templates.  Source: EC2 API error codes."""

from amiable.model.errors import Refusal


class LaunchTemplateNameExists(Refusal):
    code = "InvalidLaunchTemplateName.AlreadyExistsException"
    template = "Launch template name already in use."


class LaunchTemplateNameMalformed(Refusal):
    code = "InvalidLaunchTemplateName.MalformedException"
    template = "The specified launch template name, '{name}', is not valid: it has 3 to 128 letters, digits and the characters ( ) . - / _."


class LaunchTemplateNameNotFound(Refusal):
    code = "InvalidLaunchTemplateName.NotFoundException"
    template = "The specified launch template, with template name {name}, does not exist."


class LaunchTemplateIdMalformed(Refusal):
    code = "InvalidLaunchTemplateId.Malformed"
    template = "The specified launch template ID, '{template_id}', is malformed."


class LaunchTemplateIdNotFound(Refusal):
    code = "InvalidLaunchTemplateId.NotFound"
    template = "The specified launch template, with template ID {template_id}, does not exist."


class LaunchTemplateVersionNotFound(Refusal):
    code = "InvalidLaunchTemplateId.VersionNotFound"
    template = "Could not find the specified version {version} for the launch template with ID {template_id}."


class MaxTemplateLimitExceeded(Refusal):
    code = "MaxTemplateLimitExceeded"
    template = "The account has {count} launch templates in this region and may have no more."


class MaxTemplateVersionLimitExceeded(Refusal):
    code = "MaxTemplateVersionLimitExceeded"
    template = "The launch template {template_id} has {count} versions and may have no more."
