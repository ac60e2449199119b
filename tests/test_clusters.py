"""What is handed to clusters: by their schemas, by torchrun's parser, or run with stand-ins."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.readme import ROOT
from tests.processes import running, wait_until
from tests.published import DOCKERFILE, composed, launched

PLAIN = {"str": str, "int": int, "bool": bool, "object": dict}
# What Kubeflow's training operator 1.9 sets in a pod (pkg/controller.v1/pytorch/envvar.go).
OPERATORS = ("MASTER_ADDR", "MASTER_PORT", "NNODES", "NODE_RANK", "NPROC_PER_NODE")
STOPPED = '{"state": "stopped", "resumable": true}'


def misfits(kind: str, node: Any, where: str = "") -> Iterator[str]:
    """What the OpenAPI models of Kubernetes and Kubeflow do not take: keys, types, omissions."""
    from kubeflow.training import models
    from kubernetes import client

    if inner := re.fullmatch(r"(?:list\[|dict\(str, )(\w+)[\])]", kind):
        many = node.items() if isinstance(node, dict) else enumerate(node)
        for key, each in many:
            yield from misfits(inner[1], each, f"{where}.{key}")
    elif kind in PLAIN:
        if type(node) is not PLAIN[kind]:
            yield f"{where}: {node!r} is not a {kind}"
    else:
        model = getattr(models, kind, None) or getattr(client, kind)
        names = {key: name for name, key in model.attribute_map.items()}
        yield from (f"{where}.{key}: {kind} has no such key" for key in node.keys() - names.keys())
        given = {names[key]: value for key, value in node.items() if key in names}
        for name, value in given.items():
            key = model.attribute_map[name]
            yield from misfits(model.openapi_types[name], value, f"{where}.{key}")
        try:
            model(**given)
        except ValueError as error:
            yield f"{where}: {error}"


def claim_and_job() -> tuple[dict[str, Any], dict[str, Any]]:
    claim, job = yaml.safe_load_all((ROOT / "docker/pytorchjob.yaml").read_text(encoding="utf-8"))
    return claim, job


def test_kubernetes_and_kubeflow_take_the_job_and_its_claim() -> None:
    claim, job = claim_and_job()
    assert not [*misfits("V1PersistentVolumeClaim", claim)]
    assert not [*misfits("KubeflowOrgV1PyTorchJob", job)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("nprocPerNode: '8'", "nprocPerNode: 8"),
        ("backoffLimit", "backOffLimit"),
        ("mountPath: /runs", "mountpath: /runs"),
        ("runAsUser: 10001", "runAsUser: affect"),
        ("name: pytorch\n", "nom: pytorch\n"),
        ("claimName: affect-mllm", "readOnly: true"),
        ("value: '600'", "value: 600"),
    ],
)
def test_what_the_schemas_refuse_is_seen(old: str, new: str) -> None:
    text = yaml.safe_dump(claim_and_job()[1], allow_unicode=True)
    assert old in text
    assert [*misfits("KubeflowOrgV1PyTorchJob", yaml.safe_load(text.replace(old, new)))]


@pytest.fixture(params=["Master", "Worker"])
def pod(request: pytest.FixtureRequest) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The specification of a replica's pod, and its only container."""
    replica = claim_and_job()[1]["spec"]["pytorchReplicaSpecs"][request.param]
    assert replica["restartPolicy"] == "OnFailure", "the same command goes on"
    (container,) = replica["template"]["spec"]["containers"]
    return replica["template"]["spec"], container


def test_torchrun_reads_the_operators_variables_and_train_py_the_rest(
    pod: tuple[Mapping[str, Any], Mapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, container = pod
    spec = claim_and_job()[1]["spec"]
    nodes = sum(each["replicas"] for each in spec["pytorchReplicaSpecs"].values())
    (port,) = container["ports"]
    assert (container["name"], port["name"]) == ("pytorch", "pytorchjob-port")
    told = ("affect-mllm-master-0", port["containerPort"], nodes, 1, spec["nprocPerNode"])
    for name, value in zip(OPERATORS, told, strict=True):
        monkeypatch.setenv(f"PET_{name}", str(value))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    script, *overrides = [*container["command"], *container["args"]][1:]
    launch = launched([script, *overrides])
    assert (launch.min_nodes, launch.max_nodes, launch.nproc_per_node) == (2, 2, 8)
    assert launch.rdzv_endpoint == "affect-mllm-master-0:23456"
    assert f"launch.processes={launch.max_nodes * launch.nproc_per_node}" in overrides
    composed("train", overrides)


def test_a_pod_keeps_what_it_writes_and_has_the_time_to_write_it(
    pod: tuple[Mapping[str, Any], Mapping[str, Any]],
) -> None:
    spec, container = pod
    env = {each["name"]: each["value"] for each in container["env"]}
    assert spec["terminationGracePeriodSeconds"] > int(env["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"])
    mounts = {each["mountPath"]: each for each in container["volumeMounts"]}
    volumes = {each["name"]: each for each in spec["volumes"]}
    written = [word.split("=")[1] for word in container["args"] if "_dir=" in word]
    assert len(written) == 2
    for path in written:
        mount = mounts[f"/{path.split('/')[1]}"]
        assert not mount.get("readOnly")
        assert "persistentVolumeClaim" in volumes[mount["name"]]
    assert volumes[mounts["/dev/shm"]["name"]]["emptyDir"]["medium"] == "Memory"
    user = re.search(r"^USER (\d+)$", DOCKERFILE, re.M)
    assert user is not None
    security = spec["securityContext"]
    assert security["runAsUser"] == security["fsGroup"] == int(user[1])


def sky() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker/skypilot.yaml").read_text(encoding="utf-8"))


def test_skypilots_job_starts_again_with_what_it_wrote() -> None:
    """SkyPilot is heavy: `make docker-check` asks its own schema; here, the facts we rely on."""
    job, volume = sky(), yaml.safe_load((ROOT / "docker/skypilot-volume.yaml").read_text())
    assert job.keys() == {"name", "num_nodes", "resources", "config", "volumes", "envs", "run"}
    assert all(isinstance(value, str) for value in job["envs"].values())
    assert job["resources"]["job_recovery"]["max_restarts_on_errors"] > 0
    assert {each["name"] for each in job["volumes"].values()} == {volume["name"]}
    assert volume["config"]["access_mode"] == "ReadWriteMany", "several nodes write"
    assert job["volumes"].keys() == {"/data", "/cache", "/runs"}


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)


def test_skypilots_script_starts_every_node(tmp_path: Path) -> None:
    program(tmp_path, "torchrun", f'printf "%s\\n" "$@" > {tmp_path}/words; exit 3')
    script = sky()["run"].replace("/opt/venv/bin", str(tmp_path)).replace("/app", str(tmp_path))
    env = {"NUM_NODES": "2", "NODE_RANK": "1", "NUM_GPUS_PER_NODE": "8", "NODE_IPS": "a\nb"}
    env = {f"SKYPILOT_{name}": value for name, value in env.items()}
    done = subprocess.run(["bash", "-c", script], env=os.environ | env, check=False)
    assert done.returncode == 3, "a failure is told"
    words = (tmp_path / "words").read_text().splitlines()
    launch = launched(words)
    assert (launch.max_nodes, launch.nproc_per_node, launch.rdzv_endpoint) == (2, 8, "a:29500")
    assert "launch.processes=16" in words
    composed("train", words[words.index("train.py") + 1 :])


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with stand-ins for SLURM's programs, torchrun and pkill, which are on the PATH.

    torchrun notes its words, and ends with `code` or, if there is none, when it was told to stop.
    """
    program(tmp_path, "srun", 'while [[ $1 == -* ]]; do shift; done; exec "$@"')
    program(tmp_path, "nvidia-smi", "seq 8")
    program(tmp_path, "pkill", f"touch {tmp_path}/told")
    program(
        tmp_path,
        "scontrol",
        f'[[ $1 == show ]] && printf "node1\\nnode2\\n" || echo "$@" > {tmp_path}/requeued',
    )
    program(
        tmp_path,
        "torchrun",
        f'printf "%s\\n" "$@" > {tmp_path}/words.new; mv {tmp_path}/words.new {tmp_path}/words\n'
        f"[[ -e {tmp_path}/code ]] && exit $(< {tmp_path}/code)\n"
        f"until [[ -e {tmp_path}/told ]]; do sleep 0.05; done\n"
        f"echo '{STOPPED}' > {tmp_path}/status.json; exit 1",
    )
    for name, value in {"JOB_NODELIST": "node[1-2]", "NNODES": "2", "JOB_ID": "17"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("USER", "somebody")
    return tmp_path


def sbatch(folder: Path) -> list[str]:
    overrides = "experiment=affect_hybrid launch=zero3"
    return ["bash", "scripts/train.sbatch", *overrides.split(), f"run_dir={folder}"]


def test_slurms_script_stops_all_ranks_before_its_time_is_up_and_queues_anew(slurm: Path) -> None:
    with running(sbatch(slurm)) as process:
        wait_until(process, partial(os.path.exists, slurm / "words"))
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
    assert (slurm / "requeued").read_text() == "requeue 17\n"
    words = (slurm / "words").read_text().splitlines()
    launch = launched(words)
    assert (launch.max_nodes, launch.nproc_per_node, launch.run_id) == (2, 8, "17")
    assert launch.rdzv_endpoint == "node1:29400"
    assert "launch.processes=16" in words
    composed("train", words[words.index("train.py") + 1 :])


@pytest.mark.parametrize(
    ("ends", "status"), [(0, "done"), (1, "failed"), (1, None), (1, "stopped")]
)
def test_slurm_is_told_how_a_run_ended(slurm: Path, ends: int, status: str | None) -> None:
    (slurm / "code").write_text(str(ends))
    if status:
        (slurm / "status.json").write_text(f'{{"state": "{status}"}}')
    if status == "stopped":  # by the job before this one, which failed too early to say so
        (slurm / "status.json").write_text(STOPPED)
    done = subprocess.run(sbatch(slurm), cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (ends, "")
    assert not (slurm / "requeued").exists()
