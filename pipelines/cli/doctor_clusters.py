"""`aimass doctor` on the clusters: is each there, does it let this machine in, is every host of it like this one."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.cli.checked import Checked
from pipelines.errors import SpecError, UnreachableError
from pipelines.settings import Settings

OPEN = "not encrypted: for a network that none but trusted hosts can reach"


def check_dask(settings: Settings) -> Iterator[Checked]:
    """Connect to the Dask scheduler and ask every worker what it has installed."""
    if settings.dask_scheduler is None:
        yield Checked("dask", "ok", "none given; tables are worked on by this machine")
        return
    from pipelines.dask_cluster import check_workers, connected

    try:
        with connected(settings) as client:
            workers, threads = check_workers(client, settings), sum(client.nthreads().values())
    except (SpecError, UnreachableError) as error:
        yield wrong("dask", error)
        return
    seen = f"{settings.dask_scheduler}: {len(workers)} workers with {threads} threads, all as this machine"
    if settings.dask_scheduler.startswith("tcp://"):
        cure = "start it with --tls-ca-file, --tls-cert and --tls-key, and use tls://"
        yield Checked("dask", "warning", f"{seen}; {OPEN}; whoever reaches it runs code on it", cure)
    else:
        yield Checked("dask", "ok", seen)


def check_ray(settings: Settings) -> Iterator[Checked]:
    """Join the Ray cluster and ask every node what it has installed."""
    if settings.ray_address is None:
        yield Checked("ray", "ok", "none given; trials run on this machine")
        return
    from pipelines.ray_cluster import asks_for_token, check_nodes, ray_cluster

    try:
        guarded = asks_for_token(settings.ray_address)
        with ray_cluster(settings) as ray:
            nodes, there = check_nodes(ray, settings.ray_address), ray.cluster_resources()
    except (SpecError, UnreachableError) as error:
        yield wrong("ray", error)
        return
    cores, gpus = there.get("CPU", 0.0), there.get("GPU", 0.0)
    seen = f"{settings.ray_address}: {len(nodes)} nodes with {cores:g} cores and {gpus:g} GPUs, all as this machine"
    if guarded:
        yield Checked("ray", "ok", f"{seen}; {OPEN}")
    else:
        cure = "start every node with RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH"
        yield Checked("ray", "wrong", f"{seen}; it asks nobody for a token: whoever reaches it runs code on it", cure)


def wrong(what: str, error: SpecError | UnreachableError) -> Checked:
    """Return an error as the result of a check."""
    seen = f"{error.what}; {error.where}: {error.seen}; expected: {error.expected}"
    faults = getattr(error, "faults", [])
    return Checked(what, "wrong", seen + "".join(f"\n- {fault}" for fault in faults if len(faults) > 1), error.cure)
