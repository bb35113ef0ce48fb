"""Real separate hosts: network namespaces joined by a switch, each with a worker, one of which is cut off midway."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from curate.dataset import parquet
from curate.extraction import extract
from curate.sources.scan import Source
from tests import ROOT
from tests.hosts import Hosts, end

Tree = Callable[[Path], dict[str, bytes]]

WORKERS = 3
NETWORK = "10.213.77"

SCRIPT = """
import sys
from pathlib import Path
from curate.extraction import extract
from curate.sources.scan import Source
from curate.workers import dask_cluster
with dask_cluster.connect_cluster(sys.argv[1], min_pictures_per_future=1) as cluster:
    cluster.client.wait_for_workers(int(sys.argv[2]), timeout=60)
    sources = [Source("art", Path(sys.argv[3]))]
    extract.extract(sources, Path(sys.argv[4]), extract.ExtractOptions(), part_size=1, workers=cluster)
"""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def inside(namespace: str) -> list[str]:
    return ["ip", "netns", "exec", namespace]


@pytest.fixture
def network() -> Iterator[list[str]]:
    """Names of namespaces. The first has the switch and host 1 of the network; the others have one host each."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2's ip")
    names = [f"nurie-{os.getpid()}-{number}" for number in range(1 + WORKERS)]
    with ExitStack() as stack:
        for name in names:
            ip("netns", "add", name)
            stack.callback(ip, "netns", "delete", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", names[0], "link", "add", "switch", "type", "bridge")
        ip("-n", names[0], "address", "add", f"{NETWORK}.1/24", "dev", "switch")
        ip("-n", names[0], "link", "set", "switch", "up")
        for number, name in enumerate(names[1:], 2):
            ip("-n", names[0], "link", "add", f"port{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("-n", names[0], "link", "set", f"port{number}", "master", "switch", "up")
            ip("-n", name, "address", "add", f"{NETWORK}.{number}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        yield names


@pytest.mark.slow
def test_a_host_cut_off_midway_that_keeps_working_changes_no_byte(
    network: list[str], art: Path, tmp_path: Path, tree: Tree
) -> None:
    extract.extract([Source("art", art)], tmp_path / "local", extract.ExtractOptions(), part_size=1)
    target = tmp_path / "dataset"
    with ExitStack() as stack:
        servers = Hosts(tmp_path, stack, f"{NETWORK}.1", inside(network[0]))
        workers = [servers.start_worker(inside=inside(name)) for name in network[1:]]
        command = [
            *inside(network[0]),
            sys.executable,
            "-c",
            SCRIPT,
            servers.address,
            str(WORKERS),
            str(art),
            str(target),
        ]
        run = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
        stack.callback(end, run)
        while not parquet.part_paths(target / "records"):
            assert run.poll() is None
            time.sleep(0.01)
        workers[0].send_signal(signal.SIGSTOP)  # in the middle of its tasks
        ip("-n", network[0], "link", "set", "port2", "down")
        workers[0].send_signal(signal.SIGCONT)
        _, stderr = run.communicate(timeout=300)
        assert run.returncode == 0, stderr.decode()
        assert f"cluster: workers {WORKERS - 1}, threads {WORKERS - 1}" in stderr.decode()
    assert tree(target) == tree(tmp_path / "local")
