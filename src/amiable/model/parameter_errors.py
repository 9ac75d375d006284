"""What Parameter Store refuses, and EC2 where an image is named through it.  Sources: Systems Manager API reference; EC2's answers."""

from typing import ClassVar, Final

from amiable.model.errors import Refusal


class SsmRefusal(Refusal):
    """A Systems Manager exception: its code is the exception's name; all of them are the caller's fault but one."""

    STATUSES: ClassVar[dict[str, int]] = {"InternalServerError": 500}

    def __init__(self, code: str, message: str, *, hint: str | None = None) -> None:
        self.code = code
        self.status = self.STATUSES.get(code, 400)
        super().__init__(message, hint=hint)


class SsmInvalidParameter(Refusal):
    """RunInstances through a parameter that is not there, or that names no image."""

    code = "SsmInvalidParameter"


NO_SUCH_ALIAS: Final = "The following aliases are invalid: {reference}"
NO_IMAGE: Final = "Unsupported data type. The following parameter data types are supported: aws:ec2:image"


class ChannelNotFound(Refusal):
    code = "ChannelNotFound"
    status = 404
    template = "There is no channel {name}."
    hint = "amiable channel list"


class ChannelExists(Refusal):
    code = "ChannelExists"
    status = 409
    template = "There is a channel {name} already; it points at {image_id}."
    hint = "amiable channel promote {name} IMAGE"


class ChannelMoved(Refusal):
    """A move that was made for another version than the current one."""

    code = "ChannelMoved"
    status = 409
    template = "The channel {name} is at version {version} by now, not at {expected}; nothing was moved."
    hint = "amiable channel history {name}"


class NothingBefore(Refusal):
    code = "NothingBefore"
    template = "Before version {version} the channel {name} pointed at nothing: there is nothing to go back to."


class ContentNotFound(Refusal):
    code = "InvalidAMIID.NotFound"
    template = "No image that you may launch has the content digest {digest}"
