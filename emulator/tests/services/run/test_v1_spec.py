"""Templates in the form of v1 and back: nothing that v2 stores is lost when somebody sends back what v1 has shown."""

from __future__ import annotations

from typing import Any

import pytest
from gcp_emulator.engine.errors import ApiError
from gcp_emulator.services.run import v1_spec

RESOURCES = {"cpuIdle": True, "limits": {"cpu": "1000m", "memory": "512Mi"}}

INTERFACES = [{"network": "n", "subnetwork": "s", "tags": ["t"]}]


def template(*volumes: dict[str, Any], **web: Any) -> dict[str, Any]:
    mounts = [{"name": volume["name"], "mountPath": f"/mnt/{volume['name']}"} for volume in volumes]
    containers = [
        {"name": "web", "image": "gcr.io/p/web", "resources": RESOURCES, **web},
        {"name": "beside", "image": "gcr.io/p/beside", "resources": RESOURCES},
    ]
    if mounts:
        containers[0]["volumeMounts"] = mounts
    return {"containers": containers, **({"volumes": list(volumes)} if volumes else {})}


@pytest.mark.parametrize(
    "made",
    [
        template(dependsOn=["beside"]),
        template(
            {
                "name": "files",
                "gcs": {"bucket": "b", "readOnly": True, "mountOptions": ["implicit-dirs", "o=ro"]},
            },
            {"name": "all", "gcs": {"bucket": "c"}},
        ),
        template() | {"vpcAccess": {"networkInterfaces": INTERFACES, "egress": "PRIVATE_RANGES_ONLY"}},
        template() | {"vpcAccess": {"connector": "c", "egress": "ALL_TRAFFIC"}},
        template({"name": "share", "nfs": {"server": "10.0.0.1", "path": "/exports", "readOnly": True}}),
    ],
    ids=["sidecar", "gcs", "network", "connector", "nfs"],
)
def test_what_v1_shows_can_be_sent_back(made: dict[str, Any]) -> None:
    assert v1_spec.revision_to_v2(v1_spec.revision_to_v1(made)) == made


@pytest.mark.parametrize("text", ["beside", "[1]", '{"web": 1}'])
def test_an_annotation_with_dependencies_is_an_object_of_lists(text: str) -> None:
    shown = v1_spec.revision_to_v1(template(dependsOn=["beside"]))
    shown["metadata"]["annotations"]["run.googleapis.com/container-dependencies"] = text
    with pytest.raises(ApiError, match="must be an object of lists"):
        v1_spec.revision_to_v2(shown)


@pytest.mark.parametrize(
    "text", ["inner", "7", "[7]", '[{"network": 7}]', '[{"more": "x"}]', '[{"tags": "t"}]']
)
def test_an_annotation_with_networks_is_a_list_of_their_names(text: str) -> None:
    shown = v1_spec.revision_to_v1(template())
    shown["metadata"]["annotations"] = {"run.googleapis.com/network-interfaces": text}
    with pytest.raises(ApiError, match="Invalid value"):
        v1_spec.revision_to_v2(shown)


def test_the_networks_of_a_job_are_annotations_of_its_executions() -> None:
    task = {
        "containers": [{"image": "gcr.io/p/job", "resources": RESOURCES}],
        "vpcAccess": {"networkInterfaces": INTERFACES},
    }
    shown = v1_spec.job_to_v1({"template": {"taskCount": 1, "template": task}})
    annotations = shown["spec"]["template"]["metadata"]["annotations"]
    assert (
        annotations["run.googleapis.com/network-interfaces"]
        == '[{"network": "n", "subnetwork": "s", "tags": ["t"]}]'
    )
    assert v1_spec.job_to_v2(shown)["template"]["template"]["vpcAccess"] == task["vpcAccess"]


def test_another_driver_is_refused() -> None:
    shown = v1_spec.revision_to_v1(template({"name": "files", "gcs": {"bucket": "b"}}))
    shown["spec"]["volumes"][0]["csi"]["driver"] = "other"
    with pytest.raises(ApiError, match="must be 'gcsfuse"):
        v1_spec.revision_to_v2(shown)
