"""The edge of a real server process: what stock tools meet."""

import http.client
import json
import subprocess
import urllib.request
from contextlib import closing

from tests.support.server import Server, shell_environment


def test_the_request_id_that_a_client_is_told_stands_in_the_servers_log(server: Server) -> None:
    answer = server.client("sts").get_caller_identity()
    assert answer["ResponseMetadata"]["RequestId"] in server.log_text()


def test_the_aws_cli_works_from_the_environment_alone(server: Server) -> None:
    command = ["aws", "ec2", "describe-regions", "--output", "json"]
    done = subprocess.run(
        command, env=shell_environment(server), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [region["RegionName"] for region in json.loads(done.stdout)["Regions"]] == ["us-east-1"]


def test_the_aws_cli_shows_what_was_wrong(server: Server) -> None:
    command = ["aws", "ec2", "describe-images", "--image-ids", "ami-00000000000000000"]
    done = subprocess.run(
        command, env=shell_environment(server), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode != 0
    assert "(InvalidAMIID.NotFound)" in done.stderr
    assert "The image id '[ami-00000000000000000]' does not exist" in done.stderr


def test_health_answers_and_the_connection_stays(server: Server) -> None:
    host, _, port = server.endpoint.removeprefix("http://").rpartition(":")
    with closing(http.client.HTTPConnection(host, int(port), timeout=30)) as connection:
        for _ in range(3):
            connection.request("GET", "/health")
            response = connection.getresponse()
            assert (response.status, json.loads(response.read())) == (200, {"status": "ok"})
            assert response.getheader("connection") is None
    with urllib.request.urlopen(server.endpoint + "/", timeout=30) as page:
        assert b"Amiable" in page.read()
