"""The chain of data stages with its storage in a folder, and in an object store on this machine (moto's server)."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from data_path import chain
from job_table import job_table

TIME, MEMORY = 1.3, 1.1
"""Targets: a bucket against a folder."""
BUCKET = "bench"


def storage_table(work: Path, rows: int) -> Iterator[str]:
    """Run the chain both ways; yield the lines of the table."""
    table = job_table(work / f"job-{rows}.parquet", rows)
    yield f"storage: ingest to features, {rows:,} rows × 20 columns, {table.stat().st_size / 1e6:.0f} MB of Parquet"
    with _environment({}):
        folder = chain(table, work / "folder")
    shutil.rmtree(work / "folder")
    with _server() as variables, _environment(variables):
        bucket = chain(table, work / "bucket")
    shutil.rmtree(work / "bucket")
    yield f"  {'stage':<10}{'folder s':>10}{'bucket s':>10}{'ratio':>7}{'folder MB':>11}{'bucket MB':>11}"
    for stage, one in folder.items():
        other = bucket[stage]
        yield (
            f"  {stage:<10}{one.seconds:>10.1f}{other.seconds:>10.1f}{other.seconds / one.seconds:>7.2f}"
            f"{one.peak / 1e6:>11.0f}{other.peak / 1e6:>11.0f}"
        )
    seconds = [sum(done.seconds for done in measured.values()) for measured in (folder, bucket)]
    peaks = [max(done.peak for done in measured.values()) for measured in (folder, bucket)]
    yield (
        f"  {'all':<10}{seconds[0]:>10.1f}{seconds[1]:>10.1f}{seconds[1] / seconds[0]:>7.2f}"
        f"{peaks[0] / 1e6:>11.0f}{peaks[1] / 1e6:>11.0f}"
    )
    time_ratio, memory_ratio = seconds[1] / seconds[0], peaks[1] / peaks[0]
    yield f"  time × {time_ratio:.2f} (target {TIME}), peak memory × {memory_ratio:.2f} (target {MEMORY})"


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set these variables, and none of the installation's own, for the stages."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith(("AIMASS_", "AWS_"))]:
        del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _server() -> Iterator[dict[str, str]]:
    """Run the store with a bucket; yield the variables that lead there."""
    import boto3

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(600):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            url = f"http://127.0.0.1:{port}"
            keys = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}
            named = {"aws_access_key_id": "bench", "aws_secret_access_key": "bench", "region_name": "us-east-1"}
            boto3.client("s3", endpoint_url=url, **named).create_bucket(Bucket=BUCKET)
            yield {**keys, "AIMASS_STORAGE": f"s3://{BUCKET}/storage", "AIMASS_S3_ENDPOINT": url}
        finally:
            process.kill()
