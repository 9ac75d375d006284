"""What is refused of instance profiles on instances, in EC2's words."""

from amiable.model.errors import Refusal


class AssociationNotFound(Refusal):
    code = "InvalidAssociationID.NotFound"
    template = "An invalid association-id of '{association_id}' was given"


class IncorrectState(Refusal):
    code = "IncorrectState"
