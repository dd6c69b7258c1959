"""A Ray cluster at a given address, joined for the time of a search by a node without cores or GPUs of its own.

The driver has its object store here, so every node takes the data from it once; who drives the search needs no port of
the cluster but those that nodes need among themselves. The nodes must have this release installed, see
:mod:`pipelines.installation`: no code is sent to them.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from pipelines import installation
from pipelines.clusters import SHORT, leave_out_spare_processes, prepare_environment, scratch
from pipelines.errors import SpecError, UnreachableError
from pipelines.process_usage import look
from pipelines.settings import Settings

CONNECT_SECONDS = 5.0
LOOK_SECONDS = 60.0
"""How long nodes may take to tell what they have installed."""
SAME = "install the same release there (make env, or the same image), or take it out of the cluster"


def token_file(settings: Settings) -> Path:
    """Return the file that the token of the cluster is read from."""
    return settings.ray_token or settings.secrets / "ray_token"


def read_token(settings: Settings) -> str:
    """Return the token of the cluster.

    Raises
    ------
    SpecError
        If its file is absent, empty or readable by others.
    """
    path = token_file(settings)
    cure = f"write the cluster's token into {path} and chmod 600 it, or set AIMASS_RAY_TOKEN to the file that holds it"
    try:
        mode, text = path.stat().st_mode & 0o777, path.read_text().strip()
    except OSError as error:
        seen: object = error.strerror or error
    else:
        if text and not mode & 0o077:
            return text
        seen = f"mode {mode:o}" if text else "an empty file"
    raise SpecError(
        "there is no token for the Ray cluster",
        where=str(path),
        seen=seen,
        expected="a file of mode 600 with the token of every node (RAY_AUTH_MODE=token)",
        cure=cure,
    )


@contextmanager
def ray_cluster(settings: Settings, object_store_mb: int = 256) -> Iterator[Any]:
    """Join the cluster at ``AIMASS_RAY_ADDRESS`` and yield Ray's module; leave it afterwards.

    When this process dies, the node that joined dies with it, and Ray ends what this process has started elsewhere.

    Parameters
    ----------
    object_store_mb
        Size of this machine's object store, which holds what is sent to the nodes.

    Raises
    ------
    SpecError
        If the token is missing or refused, or a node differs from this machine in Python, libraries or code.
    UnreachableError
        If nobody answers; a later attempt may succeed.
    """
    assert settings.ray_address is not None  # whoever calls has looked
    token = read_token(settings)
    own = address_towards(settings.ray_address)
    prepare_environment()
    before = {name: os.environ[name] for name in ("RAY_AUTH_TOKEN", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")}
    os.environ |= {"RAY_AUTH_TOKEN": token, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}
    old_umask = os.umask(0o077)
    try:
        with scratch("ray", SHORT if os.path.isdir(SHORT) else None) as folder:
            import ray
            from ray._private import ray_constants

            ray_constants.ENABLE_RAY_CLUSTER = True  # read when Ray was imported, perhaps for a Ray on loopback
            import_module("ray._raylet").AuthenticationTokenLoader.instance().reset_cache()
            leave_out_spare_processes()
            node = None
            try:
                node = _join(settings.ray_address, own, folder, object_store_mb)
                with chdir(folder):  # else the nodes' workers would take modules from a folder of that name first
                    ray.init(
                        address=settings.ray_address,
                        _node_ip_address=own,
                        _temp_dir=str(folder),
                        log_to_driver=False,
                        configure_logging=False,
                    )
                check_nodes(ray, settings.ray_address)
                yield ray
            finally:
                look()  # nobody waits for Ray's workers
                ray.shutdown()
                if node is not None:
                    node.kill_all_processes(check_alive=False, allow_graceful=True)
    finally:
        os.umask(old_umask)
        os.environ |= before


def address_towards(address: str) -> str:
    """Return the address of this machine that the cluster's head sees it at.

    Raises
    ------
    UnreachableError
        If the head cannot be reached.
    """
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS) as connection:
            return str(connection.getsockname()[0])
    except OSError as error:
        raise _unreachable(address, error) from None


def _unreachable(address: str, why: object) -> UnreachableError:
    return UnreachableError(
        "the Ray cluster cannot be reached",
        where=f"AIMASS_RAY_ADDRESS={address}",
        seen=why,
        expected="the GCS of its head",
        cure="start the head, or correct the address; this machine and the nodes must reach one another",
    )


def asks_for_token(address: str) -> bool:
    """Tell whether the cluster keeps out who has a wrong token.

    Raises
    ------
    UnreachableError
        If the head cannot be reached.
    """
    address_towards(address)
    program = "import sys, ray._raylet as r; r.GcsClient(address=sys.argv[1]).internal_kv_keys(b'', b'session', 5)"
    stranger = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    done = subprocess.run([sys.executable, "-c", program, address], env=stranger, capture_output=True, check=False)
    return done.returncode != 0


def _join(address: str, own: str, folder: Path, object_store_mb: int) -> Any:
    """Start this machine's node; it ends with this process."""
    from ray._private.node import Node
    from ray._private.parameter import RayParams
    from ray.exceptions import AuthenticationError, RpcError

    params = RayParams(
        gcs_address=address,
        node_ip_address=own,
        num_cpus=0,
        num_gpus=0,
        object_store_memory=object_store_mb * 1024 * 1024,
        temp_dir=str(folder),
        include_log_monitor=False,
        include_dashboard=False,
        node_name=f"aimass-{os.getpid()}",
    )
    try:
        # a wrong token is told at once; a node would try again for half a minute
        import_module("ray._raylet").GcsClient(address=address)
        return Node(params, head=False, shutdown_at_exit=False, spawn_reaper=True)
    except (AuthenticationError, RpcError, RuntimeError) as error:
        text = " ".join(str(error).split())
        if "uthenticat" in text:
            raise SpecError(
                "the Ray cluster refuses the token",
                where=f"AIMASS_RAY_ADDRESS={address}",
                seen=text[-200:],
                expected="the token that its nodes were started with",
                cure="write that token into the file of AIMASS_RAY_TOKEN (default: secrets/ray_token)",
            ) from None
        if "ersion mismatch" in text:
            raise SpecError(
                "the Ray cluster has other versions than this machine",
                where=f"AIMASS_RAY_ADDRESS={address}",
                seen=text[:300],
                expected="the versions of requirements.lock on every node",
                cure=SAME,
            ) from None
        raise _unreachable(address, text[-300:]) from None


def check_nodes(ray: Any, address: str) -> list[str]:
    """Return the addresses of the nodes that work; refuse a cluster with one that is not like this machine.

    Raises
    ------
    SpecError
        Names every such node and in what it differs.
    UnreachableError
        If there is no node with a core.
    """
    here = installation.describe()
    nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"] and works(node)}
    if not nodes:
        raise UnreachableError(
            "the Ray cluster has no node that works",
            where=f"AIMASS_RAY_ADDRESS={address}",
            seen="no node with a core",
            expected="at least one",
            cure=f"start nodes: ray start --address={address}",
        )
    faults = {}
    answers = _ask(ray, nodes, list(here["libraries"]))
    left = {node["NodeID"] for node in ray.nodes() if not node["Alive"]}  # they take no trials, whatever they say
    for node_id, told in answers.items():
        if node_id in left:
            continue
        wrong = [told] if isinstance(told, str) else installation.differences(told, here)
        if wrong:
            faults[nodes[node_id]["NodeManagerAddress"]] = "; ".join(wrong)
    if faults:
        raise SpecError(
            "a node of the Ray cluster is not like this machine",
            where=f"AIMASS_RAY_ADDRESS={address}, node {', '.join(sorted(faults))}",
            seen=next(iter(faults.values())),
            expected=f"Python {here['python']}, the libraries of requirements.lock, code {here['code']}, as here",
            cure=SAME,
            faults=[f"{name}: {why}" for name, why in sorted(faults.items())],
        )
    return [node["NodeManagerAddress"] for node in nodes.values()]


def works(node: dict[str, Any]) -> bool:
    """Whether a node takes trials at all."""
    return bool(node["Resources"].get("CPU"))


def _ask(ray: Any, nodes: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Return what each node has installed, or why it cannot tell."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asks = ray.remote(num_cpus=0, max_retries=1)(installation.describe)
    asked = {
        node_id: asks.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)).remote(names)
        for node_id in nodes
    }
    found: dict[str, Any] = {}
    for node_id, ref in asked.items():
        try:
            found[node_id] = ray.get(ref, timeout=LOOK_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever keeps it from telling, it is of no use
            text = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            missing = next((line for line in text if "No module named" in line), text[0])
            found[node_id] = f"cannot tell what it has installed: {missing.strip()[:200]}"
    return found
