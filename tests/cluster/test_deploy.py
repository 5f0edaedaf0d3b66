"""The compose file for a cluster's members."""

from importlib.util import find_spec

import yaml

from tests.support.paths import ROOT


def test_compose_takes_the_clusters_file() -> None:
    members = yaml.safe_load((ROOT / "deploy" / "cluster.yaml").read_text())["services"]
    assert members.keys() == {"scheduler", "worker"}
    for name, member in members.items():
        _, _, module, _ = member["command"]
        assert module == f"whisper_service.cluster.{name}"
        assert find_spec(module)
        assert member["build"]["args"] == {"CLUSTER": "1"}
        assert member["mem_limit"]
