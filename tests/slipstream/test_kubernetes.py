"""What Kustomize builds and `slipstream k8s render` prints is valid, and keeps to the rules."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from gateway.broker.broker import Queue
from gateway.metrics import GatewayMetrics
from gateway.settings import Settings
from tests import onnx_models
from tests.services.s3 import S3Server
from tests.slipstream.cli import Cli

KUBERNETES = Path(__file__).parents[2] / "kubernetes"
IMAGE = "registry.example.com/slipstream:0.1.0"

# Any, here and below: YAML
Document = dict[str, Any]


def build(folder: str) -> list[Document]:
    """Return what Kustomize builds of a folder."""
    kustomize = shutil.which("kustomize")
    assert kustomize, "install the Debian package kustomize"
    command = [kustomize, "build", str(KUBERNETES / folder)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert not built.stderr, "warnings are failures"
    return list(yaml.safe_load_all(built.stdout))


def render(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Helm on the chart."""
    helm = shutil.which("helm")
    assert helm, "run .ci/services"
    command = [helm, "template", "release", str(KUBERNETES / "base"), "-n", "prod", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def chart(*arguments: str) -> list[Document]:
    """Return what Helm renders."""
    rendered = render(*arguments)
    assert rendered.returncode == 0, rendered.stderr
    assert not rendered.stderr, "warnings are failures"
    return list(yaml.safe_load_all(rendered.stdout))


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[S3Server]:
    """A bucket for models."""
    server = S3Server(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def rendered(cli: Cli, bucket: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is printed for a model."""
    options = ",".join(f"{name}={text}" for name, text in bucket.options.items())
    monkeypatch.setenv("SLIPSTREAM_MODEL_STORE", "s3://models/pods")
    monkeypatch.setenv("SLIPSTREAM_MODEL_STORE_OPTIONS", options)
    cli.answer("models", "add", str(onnx_models.mlp(tmp_path / "m.onnx")), "--name", "My_Model")
    printed = cli.run("k8s", "render", "My_Model", "--image", IMAGE, "--replicas", "3")
    assert printed.exit_code == 0, printed.output
    return printed.stdout


def validate(documents: list[Document]) -> None:
    """Validate strictly: what a schema does not know is an error."""
    for document in documents:
        if document["apiVersion"].startswith("keda.sh/"):
            continue
        kubernetes_validate.validate(document, "1.31", strict=True)


def pods(documents: list[Document]) -> list[Document]:
    """Return the specs of all pods."""
    return [
        document["spec"]["template"]["spec"]
        for document in documents
        if document["kind"] in {"Deployment", "Job"}
    ]


def check_pods(documents: list[Document]) -> None:
    """Check that no pod has more rights than it needs."""
    for pod in pods(documents):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]
            probes = {"startupProbe", "livenessProbe", "readinessProbe"}
            assert probes <= container.keys() or pod["restartPolicy"] == "Never"
        secrets = [volume for volume in pod["volumes"] if "secret" in volume]
        assert len(secrets) == 1


def check_gateways(documents: list[Document]) -> None:
    """Check that gateways stay in their Service while the database is away."""
    probed = [
        container["readinessProbe"]["httpGet"]["path"]
        for pod in pods(documents)
        for container in pod["containers"]
        if container["name"] == "gateway"
    ]
    assert probed == ["/readyz/fast"]


@pytest.mark.services
@pytest.mark.parametrize("folder", ["base", "overlays/example", "overlays/keda"])
def test_kustomize_builds_valid_documents(folder: str) -> None:
    documents = build(folder)
    validate(documents)
    check_pods(documents)
    check_gateways(documents)
    kinds = [document["kind"] for document in documents]
    assert kinds.count("Deployment") == 2
    assert kinds.count("PodDisruptionBudget") == 2
    assert kinds.count("NetworkPolicy") == 3
    assert kinds.count("HorizontalPodAutoscaler") == (0 if folder == "overlays/keda" else 2)
    assert "Secret" not in kinds, "secrets are made by people, and referred to"


@pytest.mark.services
def test_keda_scales_each_deployment_by_metrics_and_queues_that_there_are(tmp_path: Path) -> None:
    documents = build("overlays/keda")
    scaled = [one for one in documents if one["kind"] == "ScaledObject"]
    deployments = {one["metadata"]["name"] for one in documents if one["kind"] == "Deployment"}
    assert {one["spec"]["scaleTargetRef"]["name"] for one in scaled} == deployments
    triggers = [trigger for one in scaled for trigger in one["spec"]["triggers"]]
    queries = [it["metadata"]["query"] for it in triggers if it["type"] == "prometheus"]
    assert queries
    assert all("gateway_request_seconds_bucket" in query for query in queries)
    names = {f"{family.name}_bucket" for family in GatewayMetrics().registry.collect()}
    assert "gateway_request_seconds_bucket" in names
    rules = [{"record": "checked", "expr": query} for query in queries]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "keda", "rules": rules}]}))
    promtool = shutil.which("promtool")
    assert promtool, "install the Debian package prometheus"
    subprocess.run([promtool, "check", "rules", str(file)], check=True)
    lists = {it["metadata"]["listName"] for it in triggers if it["type"] == "redis"}
    assert lists == {queue.name_in(Settings().queue_prefix) for queue in Queue}


@pytest.mark.services
def test_an_overlay_sets_image_namespace_and_bucket() -> None:
    documents = build("overlays/example")
    assert {document["metadata"]["namespace"] for document in documents} == {"slipstream"}
    images = {each["image"] for pod in pods(documents) for each in pod["containers"]}
    assert images == {"registry.example.com/team/slipstream:0.1.0"}
    (settings,) = [each["data"] for each in documents if each["kind"] == "ConfigMap"]
    assert settings["SLIPSTREAM_MODEL_STORE"] == "s3://models/production"
    assert settings["SLIPSTREAM_STATE"] == "/var/lib/slipstream"


@pytest.mark.services
def test_the_chart_renders_what_kustomize_builds() -> None:
    documents = chart("--set", f"image={IMAGE}")
    validate(documents)
    check_pods(documents)
    check_gateways(documents)
    expected = build("base") + build("base/migration")

    def names(found: list[Document]) -> list[tuple[str, str]]:
        each = [(one["kind"], one["metadata"]["name"]) for one in found]
        return sorted(name for name in each if name[0] != "ConfigMap")

    def arguments(found: list[Document]) -> list[list[str]]:
        return sorted(each["args"] for pod in pods(found) for each in pod["containers"])

    assert names(documents) == names(expected)
    assert arguments(documents) == arguments(expected)
    assert {one["metadata"]["namespace"] for one in documents} == {"prod"}

    def settings(found: list[Document]) -> Document:
        (data,) = [one["data"] for one in found if one["kind"] == "ConfigMap"]
        return dict(data)

    assert settings(documents) == settings(expected)
    (job,) = [one for one in documents if one["kind"] == "Job"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"


@pytest.mark.services
def test_the_values_of_the_chart_are_used(tmp_path: Path) -> None:
    values = {
        "image": IMAGE,
        "imagePullSecrets": [{"name": "registry"}],
        "settings": {"SLIPSTREAM_MODEL_STORE": "s3://models/production"},
        "secretName": "ours",
        "gateway": {
            "serviceAccountAnnotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/m"},
            "replicas": {"min": 3, "max": 7},
            "cpuUtilization": 50,
            "pod": {"nodeSelector": {"disk": "fast"}},
            "resources": {"limits": {"memory": "6Gi"}},
        },
        "worker": {"autoscaling": False},
        "migration": {"secretName": "admin", "pod": {"nodeSelector": {"disk": "fast"}}},
    }
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    documents = chart("--values", str(file))
    validate(documents)
    check_pods(documents)
    assert {each["image"] for pod in pods(documents) for each in pod["containers"]} == {IMAGE}
    assert all(pod["imagePullSecrets"] == [{"name": "registry"}] for pod in pods(documents))
    by_name = {(one["kind"], one["metadata"]["name"]): one for one in documents}
    scaler = by_name["HorizontalPodAutoscaler", "slipstream-gateway"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 7)
    assert scaler["metrics"][0]["resource"]["target"]["averageUtilization"] == 50
    assert ("HorizontalPodAutoscaler", "slipstream-worker") not in by_name
    gateway = by_name["Deployment", "slipstream-gateway"]["spec"]["template"]["spec"]
    assert gateway["nodeSelector"] == {"disk": "fast"}
    assert gateway["containers"][0]["resources"]["limits"] == {"memory": "6Gi"}
    assert gateway["containers"][0]["resources"]["requests"]["memory"] == "512Mi"
    data = by_name["ConfigMap", "slipstream"]["data"]
    assert data["SLIPSTREAM_MODEL_STORE"] == "s3://models/production"
    assert data["SLIPSTREAM_STATE"] == "/var/lib/slipstream"
    secrets = {
        kind: one["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"]
        for (kind, _), one in by_name.items()
        if kind in {"Deployment", "Job"}
    }
    assert secrets == {"Deployment": "ours", "Job": "admin"}
    accounts = {
        name: one["metadata"].get("annotations")
        for (kind, name), one in by_name.items()
        if kind == "ServiceAccount"
    }
    assert accounts == {
        "slipstream-gateway": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/m"},
        "slipstream-worker": None,
        "slipstream-inference-server": None,
    }
    job = by_name["Job", "slipstream-migration"]["spec"]["template"]["spec"]
    assert job["nodeSelector"] == {"disk": "fast"}
    others = ("--set", f"image={IMAGE}", "--set", "secretName=ours")
    plain = chart(*others, "--set", "migration.enabled=false")
    assert "Job" not in {one["kind"] for one in plain}
    assert {pod["volumes"][0]["secret"]["secretName"] for pod in pods(chart(*others))} == {"ours"}


@pytest.mark.services
@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("secretName=ours", "image"),
        ("gatway.replicas.min=3", "gatway"),
        ("gateway.replicas.min=0", "min"),
        ("settings.DATABASE=x", "DATABASE"),
        ("image=a b", "image"),
        ("worker.cpuUtilization=many", "cpuUtilization"),
    ],
)
def test_wrong_values_of_the_chart_are_refused(given: str, named: str) -> None:
    refused = render("--set", f"image={IMAGE},{given}" if "image" not in named else given)
    assert refused.returncode != 0
    assert named in refused.stderr


@pytest.mark.processes
def test_the_servers_of_a_model_are_valid_and_named_after_it(rendered: str) -> None:
    documents = list(yaml.safe_load_all(rendered))
    validate(documents)
    check_pods(documents)
    deployment, budget = documents
    name = deployment["metadata"]["name"]
    assert name.startswith("slipstream-my-model-v1-")
    assert budget["metadata"]["name"] == name
    assert deployment["spec"]["replicas"] == 3
    (container,) = pods(documents)[0]["containers"]
    assert {"--model=My_Model", "--version=1", "--store=s3://models/pods"} <= set(container["args"])
    assert "--advertise=$(POD_IP)" in container["args"]
    assert container["image"] == IMAGE
    assert container["resources"]["limits"]["memory"] == "516Mi"


def test_a_folder_cannot_be_a_store_of_pods(cli: Cli) -> None:
    refused = cli.run("k8s", "render", "iris", "--image", IMAGE)
    assert refused.exit_code == 2
    assert "SLIPSTREAM_MODEL_STORE" in refused.output


@pytest.mark.parametrize("image", ["", "a b", "x\ny: z", "x # y", "{x}"])
def test_what_is_not_an_image_is_refused(cli: Cli, image: str) -> None:
    refused = cli.run("k8s", "render", "iris", "--image", image)
    assert refused.exit_code == 2
    assert "--image" in refused.output
