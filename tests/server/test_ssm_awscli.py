"""Parameter Store as the AWS command line speaks it, once through."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.publisher import new_snapshot, publishing_edge, register

SECONDS_MAX = 180


def test_a_parameter_is_put_and_launched_from_with_the_aws_command_line(tmp_path: Path) -> None:
    with publishing_edge(tmp_path) as edge:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "AWS_ENDPOINT_URL": edge.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": edge.account.access_key_id,
            "AWS_SECRET_ACCESS_KEY": edge.account.secret,
        }

        def aws(*words: str) -> tuple[int, Any, str]:
            """Exit code, JSON, complaint."""
            done = subprocess.run(
                [Path(sys.executable).with_name("aws"), "--output", "json", *words],
                env=environment,
                capture_output=True,
                text=True,
                timeout=SECONDS_MAX,
                check=False,
            )
            return done.returncode, json.loads(done.stdout or "null"), done.stderr

        ec2 = edge.client("ec2")
        image_id = register(ec2, new_snapshot(edge), "latest")
        ec2.close()
        put = ("ssm", "put-parameter", "--name", "/app/image", "--type", "String", "--data-type", "aws:ec2:image")
        assert aws(*put, "--value", image_id)[1] == {"Version": 1, "Tier": "Standard"}
        code, _, complaint = aws(*put, "--value", image_id)
        assert code != 0 and "(ParameterAlreadyExists) when calling the PutParameter operation" in complaint
        found = aws("ssm", "get-parameters-by-path", "--path", "/app")[1]["Parameters"]
        assert [(each["Name"], each["Value"]) for each in found] == [("/app/image", image_id)]
        run = ("ec2", "run-instances", "--instance-type", "amiable.tiny", "--image-id")
        assert aws(*run, "resolve:ssm:/app/image")[1]["Instances"][0]["ImageId"] == image_id
        code, _, complaint = aws(*run, "resolve:ssm:/app/none")
        assert code != 0 and "(SsmInvalidParameter)" in complaint and "aliases are invalid: /app/none" in complaint
