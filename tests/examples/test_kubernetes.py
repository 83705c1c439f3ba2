"""The manifests of examples/kubernetes fit together, and say of each process what docker-compose.yml says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.product import ROOT

FILES = sorted(ROOT.glob("examples/kubernetes/*.yaml"))
MANIFESTS: list[dict[str, Any]] = [each for file in FILES for each in yaml.safe_load_all(file.read_text())]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = {name: each for name, each in COMPOSE["services"].items() if str(each.get("command")).startswith("run ")}
API = {"ConfigMap": "v1", "Service": "v1", "Deployment": "apps/v1", "Ingress": "networking.k8s.io/v1"}
IMAGE = (ROOT / "Dockerfile").read_text()


def of(kind: str) -> list[dict[str, Any]]:
    return [each for each in MANIFESTS if each["kind"] == kind]


def pod(deployment: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def containers(deployment: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod(deployment)["containers"], *pod(deployment).get("initContainers", [])]


def named(deployment: dict[str, Any]) -> str:
    return str(deployment["metadata"]["name"])


def probes(deployment: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for container in containers(deployment):
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            if kind in container:
                yield container[kind]


BY_DEPLOYMENT = pytest.mark.parametrize("deployment", of("Deployment"), ids=named)


def test_each_has_a_kind_that_is_known_and_a_name_of_its_own() -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in MANIFESTS]
    assert len(set(names)) == len(names)
    assert {each["kind"]: each["apiVersion"] for each in MANIFESTS} == API


def test_there_is_a_deployment_for_each_process_of_compose() -> None:
    assert {named(each) for each in of("Deployment")} == {f"pharos-{name}" for name in OURS}


@BY_DEPLOYMENT
def test_a_pod_runs_its_process_as_compose_does(deployment: dict[str, Any]) -> None:
    (container,) = pod(deployment)["containers"]
    service = OURS[container["name"]]
    assert named(deployment) == f"pharos-{container['name']}"
    assert container["args"] == service["command"].split()
    assert f"{container['resources']['limits']['memory']}".lower() == f"{service['mem_limit']}i"
    # The grace is longer than what a process takes, and what it waits before.
    waits = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert pod(deployment)["terminationGracePeriodSeconds"] > 10 + waits


@BY_DEPLOYMENT
def test_a_deployment_finds_its_pods_and_a_container_its_volumes(deployment: dict[str, Any]) -> None:
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    volumes = {each["name"] for each in pod(deployment)["volumes"]}
    for container in containers(deployment):
        assert {each["name"] for each in container["volumeMounts"]} == volumes
        assert {each["mountPath"] for each in container["volumeMounts"]} == {"/data", "/tmp"}


@BY_DEPLOYMENT
def test_a_container_has_no_rights_and_the_user_of_the_image(deployment: dict[str, Any]) -> None:
    assert f"pharos:x:{pod(deployment)['securityContext']['runAsUser']}:" in IMAGE
    assert pod(deployment)["securityContext"]["runAsNonRoot"]
    for container in containers(deployment):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": COMPOSE["x-pharos"]["cap_drop"]}


@BY_DEPLOYMENT
def test_variables_are_documented_and_secrets_are_those_that_the_page_makes(deployment: dict[str, Any]) -> None:
    documented = set(re.findall(r"`([A-Z_]+)`", (ROOT / "docs/configuration.md").read_text()))
    made = set(re.findall(r"--from-literal=([a-z-]+)=", (ROOT / "docs/kubernetes.md").read_text()))
    maps = {each["metadata"]["name"]: each["data"] for each in of("ConfigMap")}
    for container in containers(deployment):
        given = {name for each in container["envFrom"] for name in maps[each["configMapRef"]["name"]]}
        assert given | {each["name"] for each in container["env"]} <= documented
        assert {each["valueFrom"]["secretKeyRef"]["key"] for each in container["env"]} == made


def test_what_comes_from_outside_reaches_the_port_of_the_web_server() -> None:
    (web,) = (each for each in of("Deployment") if named(each) == "pharos-web")
    (port,) = pod(web)["containers"][0]["ports"]
    assert f"EXPOSE {port['containerPort']}\n" in IMAGE
    (service,) = of("Service")
    (ingress,) = of("Ingress")
    assert service["spec"]["selector"].items() <= web["spec"]["template"]["metadata"]["labels"].items()
    assert [each["targetPort"] for each in service["spec"]["ports"]] == [port["name"]]
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"] == {
        "name": service["metadata"]["name"],
        "port": {"name": service["spec"]["ports"][0]["name"]},
    }
    assert rule["host"] in ingress["spec"]["tls"][0]["hosts"]
    asked = list(probes(web))
    assert {each["httpGet"]["path"] for each in asked} == {"/health/live"}
    assert {each["httpGet"]["port"] for each in asked} == {port["name"]}
