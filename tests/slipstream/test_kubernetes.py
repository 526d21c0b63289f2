"""What Kustomize builds and `slipstream k8s render` prints is valid, and keeps to the rules."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from sqlalchemy import text
from typer.testing import Result

from gateway.ids import new_id
from gateway.metrics import GatewayMetrics
from gateway.models.upload_quotas import _MAX_UPLOADS
from gateway.storage.database import Database
from gateway.storage.migrate import migrate
from gateway.storage.run_tables import RunRow
from inference_server import settings
from model_store.manifest import File, Manifest
from slipstream.commands.k8s import _rendered as rendered_of
from slipstream.supervisor.worker_manager import HAND_BACK_SECONDS
from tests import onnx_models
from tests.gateway.databases import PostgresDatabase
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
def rendered(cli: Cli, bucket: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    """What is printed for a model."""
    options = ",".join(f"{name}={text}" for name, text in bucket.options.items())
    monkeypatch.setenv("SLIPSTREAM_MODEL_STORE", "s3://models/pods")
    monkeypatch.setenv("SLIPSTREAM_MODEL_STORE_OPTIONS", options)
    cli.answer("models", "add", str(onnx_models.mlp(tmp_path / "m.onnx")), "--name", "My_Model")
    printed = cli.run("k8s", "render", "My_Model", "--image", IMAGE, "--replicas", "3")
    assert printed.exit_code == 0, printed.output
    return printed


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
            resources = container["resources"]
            for name in ("memory", "ephemeral-storage"):
                limit = quantity(resources["limits"][name])
                assert limit <= 4 * quantity(resources["requests"][name]), "nodes overcommit"
            written = sum(
                quantity(volume["emptyDir"]["sizeLimit"])
                for volume in pod["volumes"]
                if "emptyDir" in volume
            )
            assert written <= quantity(resources["limits"]["ephemeral-storage"])
            probes = {"startupProbe", "livenessProbe", "readinessProbe"}
            assert probes <= container.keys() or pod["restartPolicy"] == "Never"
        secrets = [volume for volume in pod["volumes"] if "secret" in volume]
        assert len(secrets) == 1


def quantity(given: str) -> int:
    """Return the bytes of a quantity of Kubernetes."""
    number, power = re.fullmatch(r"(\d+)([KMG])i", given).groups()  # type: ignore[union-attr]
    return int(number) << 10 * (1 + "KMG".index(power))


def by_name(documents: list[Document], kind: str) -> dict[str, Document]:
    """Return the documents of a kind by their names."""
    return {one["metadata"]["name"]: one for one in documents if one["kind"] == kind}


def check_deployments(documents: list[Document]) -> None:
    """Check that pods spread, end in their own time, and write less than their volumes hold."""
    (settings,) = by_name(documents, "ConfigMap").values()
    for name, deployment in by_name(documents, "Deployment").items():
        pod = deployment["spec"]["template"]["spec"]
        spread = {each["topologyKey"] for each in pod["topologySpreadConstraints"]}
        assert spread == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
        (container,) = pod["containers"]
        variables = {each["name"]: each["value"] for each in container["env"]}
        drain = int(variables["SLIPSTREAM_DRAIN_SECONDS"])
        sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {"seconds": 0})
        grace = pod["terminationGracePeriodSeconds"]
        assert grace >= drain + HAND_BACK_SECONDS + sleep["seconds"] + 10
        if name == "slipstream-worker":
            assert drain >= 300, "runs that scaling down or a rollout finds"
            continue
        (state,) = [each for each in pod["volumes"] if each["name"] == "state"]
        uploads = _MAX_UPLOADS * int(settings["data"]["SLIPSTREAM_MAX_UPLOAD_BYTES"])
        cache = int(settings["data"]["SLIPSTREAM_MODEL_CACHE_BYTES"])
        assert uploads + cache < quantity(state["emptyDir"]["sizeLimit"]), "it would be evicted"


def check_networks(documents: list[Document]) -> None:
    """Check who is called by whom."""
    policies = by_name(documents, "NetworkPolicy")
    servers = policies["slipstream-inference-server"]["spec"]
    assert set(servers["policyTypes"]) == {"Ingress", "Egress"}
    names, gateways, bucket = servers["egress"]
    assert {each["port"] for each in names["ports"]} == {53}
    (peer,) = gateways["to"]
    assert peer["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "slipstream-gateway"}
    assert bucket["ports"] == [{"port": 443}]
    denied = [ip_network(each) for to in bucket["to"] for each in to["ipBlock"]["except"]]
    for address in ("10.96.0.10", "169.254.169.254", "172.20.0.1", "192.168.1.5", "fd00::1"):
        assert any(ip_address(address) in network for network in denied), address
    for name, port in (("slipstream-worker", 9100), ("slipstream-inference-server", 9001)):
        (rule,) = [
            each for each in policies[name]["spec"]["ingress"] if {"port": port} in each["ports"]
        ]
        (peer,) = rule["from"]
        assert peer["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "prometheus"}


@pytest.mark.services
@pytest.mark.parametrize("folder", ["base", "overlays/example", "overlays/keda"])
def test_kustomize_builds_valid_documents(folder: str) -> None:
    documents = build(folder)
    validate(documents)
    check_pods(documents)
    check_deployments(documents)
    check_networks(documents)
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


@pytest.fixture
def database_url() -> Iterator[str]:
    """The URL of a PostgreSQL database with tables."""
    database = PostgresDatabase()
    database.create()
    asyncio.run(migrate(database.url))
    yield database.url
    database.drop()


@pytest.mark.services
async def test_keda_counts_the_runs_that_workers_have_to_do(database_url: str) -> None:
    documents = build("overlays/keda")
    (scaled,) = [
        one
        for one in documents
        if one["kind"] == "ScaledObject" and one["metadata"]["name"] == "slipstream-worker"
    ]
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["type"] == "postgresql"
    authentication = by_name(documents, "TriggerAuthentication")
    (given,) = authentication[trigger["authenticationRef"]["name"]]["spec"]["secretTargetRef"]
    assert given["parameter"] == "connection"
    (container,) = by_name(documents, "Deployment")["slipstream-worker"]["spec"]["template"][
        "spec"
    ]["containers"]
    places = int(container["args"][container["args"].index("--concurrency") + 1])
    assert int(trigger["metadata"]["targetQueryValue"]) < places, "others come before it is full"
    rows = [
        *(("queued", "async", "api"), ("queued", "sync", "api"), ("running", "async", "api")),
        *(("running", "fast", "api"), ("queued", "async", "server"), ("failed", "sync", "api")),
    ]
    db = Database(database_url)
    try:
        async with db.write() as session:
            session.add_all(
                RunRow(
                    id=new_id(),
                    profile_id="p",
                    deployment_id="d",
                    flow_id="f",
                    version=1,
                    status=status,
                    mode=mode,
                    type=kind,
                    timeout_seconds=1,
                    retry_safe=False,
                    max_attempts=1,
                )
                for status, mode, kind in rows
            )
        async with db.read_in_parts() as session:  # a transaction that is rolled back
            role = f"keda_{new_id().replace('-', '_')}"
            for statement in (
                f"CREATE ROLE {role}",
                f"GRANT SELECT (status, type, mode) ON runs TO {role}",
                f"SET LOCAL ROLE {role}",
            ):
                await session.execute(text(statement))
            assert await session.scalar(text(trigger["metadata"]["query"])) == 3
    finally:
        await db.close()


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
    check_deployments(documents)
    check_networks(documents)
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
        "worker": {"autoscaling": False, "replicas": {"min": 4, "max": 4}, "drainSeconds": 900},
        "migration": {"secretName": "admin", "pod": {"nodeSelector": {"disk": "fast"}}},
    }
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    documents = chart("--values", str(file))
    validate(documents)
    check_pods(documents)
    assert {each["image"] for pod in pods(documents) for each in pod["containers"]} == {IMAGE}
    assert all(pod["imagePullSecrets"] == [{"name": "registry"}] for pod in pods(documents))
    named = {(one["kind"], one["metadata"]["name"]): one for one in documents}
    scaler = named["HorizontalPodAutoscaler", "slipstream-gateway"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 7)
    assert scaler["metrics"][0]["resource"]["target"]["averageUtilization"] == 50
    assert ("HorizontalPodAutoscaler", "slipstream-worker") not in named
    gateway = named["Deployment", "slipstream-gateway"]["spec"]["template"]["spec"]
    assert gateway["nodeSelector"] == {"disk": "fast"}
    assert gateway["containers"][0]["resources"]["limits"]["memory"] == "6Gi"
    assert gateway["containers"][0]["resources"]["requests"]["memory"] == "3Gi"
    assert "replicas" not in named["Deployment", "slipstream-gateway"]["spec"]
    worker = named["Deployment", "slipstream-worker"]["spec"]
    assert worker["replicas"] == 4
    assert worker["template"]["spec"]["terminationGracePeriodSeconds"] == 930
    drain = {"name": "SLIPSTREAM_DRAIN_SECONDS", "value": "900"}
    assert worker["template"]["spec"]["containers"][0]["env"] == [drain]
    external = chart("--set", f"image={IMAGE}", "--set", "worker.autoscaling=external")
    assert "replicas" not in by_name(external, "Deployment")["slipstream-worker"]["spec"]
    assert by_name(external, "HorizontalPodAutoscaler").keys() == {"slipstream-gateway"}
    data = named["ConfigMap", "slipstream"]["data"]
    assert data["SLIPSTREAM_MODEL_STORE"] == "s3://models/production"
    assert data["SLIPSTREAM_STATE"] == "/var/lib/slipstream"
    secrets = {
        kind: one["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"]
        for (kind, _), one in named.items()
        if kind in {"Deployment", "Job"}
    }
    assert secrets == {"Deployment": "ours", "Job": "admin"}
    accounts = {
        name: one["metadata"].get("annotations")
        for (kind, name), one in named.items()
        if kind == "ServiceAccount"
    }
    assert accounts == {
        "slipstream-gateway": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/m"},
        "slipstream-worker": None,
        "slipstream-inference-server": None,
    }
    job = named["Job", "slipstream-migration"]["spec"]["template"]["spec"]
    assert job["nodeSelector"] == {"disk": "fast"}
    others = ("--set", f"image={IMAGE}", "--set", "secretName=ours")
    plain = chart(*others, "--set", "migration.enabled=false")
    assert "Job" not in {one["kind"] for one in plain}
    assert {pod["volumes"][0]["secret"]["secretName"] for pod in pods(chart(*others))} == {"ours"}


@pytest.mark.services
def test_the_commands_and_manifests_of_the_page_are_valid() -> None:
    page = (KUBERNETES.parent / "docs/kubernetes.md").read_text()
    (install,) = re.findall(r"^helm install (.+?[^\\])\n", page, re.DOTALL | re.MULTILINE)
    documents = chart(*shlex.split(install.replace("\\\n", ""))[4:])
    validate(documents)
    (settings,) = by_name(documents, "ConfigMap").values()
    assert {"SLIPSTREAM_MODEL_STORE", "SLIPSTREAM_TRUSTED_PROXIES"} <= settings["data"].keys()
    manifests = re.findall(r"```yaml\n(.+?)```", page, re.DOTALL)
    assert manifests
    validate([yaml.safe_load(manifest) for manifest in manifests])
    assert "metrics-server" in page


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
def test_the_servers_of_a_model_are_valid_and_named_after_it(rendered: Result) -> None:
    documents = list(yaml.safe_load_all(rendered.stdout))
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
    assert deployment["spec"]["progressDeadlineSeconds"] >= 600
    spread = pods(documents)[0]["topologySpreadConstraints"]
    assert {each["topologyKey"] for each in spread} == {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    }
    assert rendered.stderr.count("in the clear") == 2


@pytest.mark.processes
def test_pods_use_tls_and_leave_their_number_to_an_autoscaler_where_that_is_asked_for(
    cli: Cli, rendered: Result
) -> None:
    more = ("--tls", "servers-tls", "--gateway", "https://api.example.com", "--autoscaled")
    printed = cli.run("k8s", "render", "My_Model", "--image", IMAGE, *more)
    assert "in the clear" not in printed.stderr
    documents = list(yaml.safe_load_all(printed.stdout))
    validate(documents)
    deployment, _ = documents
    assert "replicas" not in deployment["spec"]
    (pod,) = pods(documents)
    (container,) = pod["containers"]
    (mounted,) = [each for each in pod["volumes"] if each["name"] == "tls"]
    assert mounted["secret"]["secretName"] == "servers-tls"
    folder = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}["tls"]
    expected = {f"--tls-certificate={folder}/tls.crt", f"--tls-key={folder}/tls.key"}
    assert expected <= set(container["args"])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["scheme"] == "HTTPS"
    assert container["args"][0] == "inference-server"
    settings.check([word for word in container["args"][1:] if word.startswith("--")])
    refused = cli.run("k8s", "render", "My_Model", "--image", IMAGE, "--tls", "a b")
    assert refused.exit_code == 2


def test_a_large_model_has_more_time_and_disk() -> None:
    size = 20 << 30
    manifest = Manifest(
        name="large",
        version=1,
        created_at="",
        sha256="",
        files=(File(path="model.onnx", size=size, sha256=""),),
        inputs=(),
        outputs=(),
        unsupported_inputs={},
        unsupported_outputs={},
        opset={},
        ir_version=9,
        producer="",
    )
    given = {"image": IMAGE, "store": "s3://models/pods", "gateway": "http://a:1", "cpu": "1"}
    documents = list(yaml.safe_load_all(rendered_of(manifest, None, replicas="", **given)))
    validate(documents)
    check_pods(documents)
    (deployment,) = by_name(documents, "Deployment").values()
    assert deployment["spec"]["progressDeadlineSeconds"] >= 2_600
    (cache,) = [each for each in pods(documents)[0]["volumes"] if each["name"] == "cache"]
    assert quantity(cache["emptyDir"]["sizeLimit"]) > size


def test_a_folder_cannot_be_a_store_of_pods(cli: Cli) -> None:
    refused = cli.run("k8s", "render", "iris", "--image", IMAGE)
    assert refused.exit_code == 2
    assert "SLIPSTREAM_MODEL_STORE" in refused.output


@pytest.mark.parametrize("image", ["", "a b", "x\ny: z", "x # y", "{x}"])
def test_what_is_not_an_image_is_refused(cli: Cli, image: str) -> None:
    refused = cli.run("k8s", "render", "iris", "--image", image)
    assert refused.exit_code == 2
    assert "--image" in refused.output
