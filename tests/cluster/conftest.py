"""Fixtures: clusters on this machine, without members yet."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, cluster_in


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster with the engines of `fake_engine.py`."""
    with cluster_in(tmp_path / "cluster") as cluster:
        yield cluster


@pytest.fixture
def real_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster with real engines."""
    with cluster_in(tmp_path / "cluster", fake=False) as cluster:
        yield cluster
