"""The Recycle Bin as people meet it: ``amiable recycle-bin`` against a real server, in an account of its own."""

import json
from typing import Any

from tests.support.journey import amiable
from tests.support.server import Server


def test_what_is_kept_is_listed_with_its_rules_and_a_plan_that_warns(server: Server) -> None:
    account = str(json.loads(amiable(server, "account", "create", "keeper", "--output", "json").stdout)["AccountId"])

    def said(*words: str) -> Any:
        done = amiable(server, "recycle-bin", *words, "--output", "json", account=account)
        return json.loads(done.stdout), done.stderr

    ebs, ec2, rbin = (server.client(service, account) for service in ("ebs", "ec2", "rbin"))
    snapshot = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    ebs.complete_snapshot(SnapshotId=snapshot, ChangedBlocksCount=0)
    image_id = ec2.register_image(
        Name="kept", Architecture="x86_64", VirtualizationType="hvm", RootDeviceName="/dev/sda",
        BlockDeviceMappings=[{"DeviceName": "/dev/sda", "Ebs": {"SnapshotId": snapshot}}],
    )["ImageId"]  # fmt: skip
    assert said("list") == said("rules") == ([], "")
    (planned,), _ = said("plan")
    assert (planned["ImageId"], planned["RuleIdentifier"], planned["Warnings"]) == (image_id, None, [])

    def rule(kind: str, days: int, **words: Any) -> str:
        period = {"RetentionPeriodValue": days, "RetentionPeriodUnit": "DAYS"}
        return str(rbin.create_rule(ResourceType=kind, RetentionPeriod=period, **words)["Identifier"])

    long = rule("EC2_IMAGE", 30, ExcludeResourceTags=[{"ResourceTagKey": "scratch"}])
    short = rule("EBS_SNAPSHOT", 7)
    rows, _ = said("rules")
    assert {row["Identifier"]: (row["Days"], row["Keeps"], row["Except"], row["Lock"]) for row in rows} == {
        long: (30, ["everything"], ["scratch"], "unlocked"),
        short: (7, ["everything"], [], "unlocked"),
    }
    (planned,), talk = said("plan")
    assert (planned["RuleIdentifier"], planned["Days"]) == (long, 30)
    warning = f"warning: {image_id}: {snapshot} would be kept for 7 days by rule {short}, the image for 30"
    assert talk.startswith(warning)

    ec2.deregister_image(ImageId=image_id, DeleteAssociatedSnapshots=True)
    rows, _ = said("list")
    assert {row["ResourceId"]: row["ResourceType"] for row in rows} == {image_id: "image", snapshot: "snapshot"}
    (planned,), talk = said("plan")
    assert planned["State"] == "binned" and f"{snapshot} leaves the bin at " in talk
    told = amiable(server, "recycle-bin", "list", account=account)
    assert f"to bring it back: amiable recycle-bin restore {snapshot}" in told.stderr
    ec2.restore_snapshot_from_recycle_bin(SnapshotId=snapshot)
    assert f"{snapshot} would be kept for 7 days by rule {short}, the image is in the bin until" in said("plan")[1]
