"""That every way into the server asks what a role may do."""

from amiable.server import app, s3
from amiable.server.authorize import AUTHORIZING, S3_ACTIONS


def test_every_route_of_s3_has_its_action() -> None:
    assert set(S3_ACTIONS) == set(s3.ROUTES) - {("POST", "bucket", "delete")}


def test_a_roles_session_gets_into_no_service_that_does_not_ask() -> None:
    assert set(app.HANDLERS) - AUTHORIZING == {"bootstrap"}
