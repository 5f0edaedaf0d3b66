"""kill -9, standstills and cut lines among the machines of a cluster."""

import time
from pathlib import Path

import requests

from tests.support.cluster_attack import Attack, audit, ran_again, use_all_workers, users_of
from tests.support.cluster_faults import WORKERS, cluster
from tests.support.harness import Figure, scale, seeded
from tests.support.site import Promises, drain
from tests.support.waiting import until

# Longer than the engines need for the jobs, if nothing happened to them.
ATTACK_SECONDS = scale(200, 30)
TASK_SECONDS = 2.4


def test_a_cluster_whose_parts_are_killed_stopped_and_cut_off(
    tmp_path: Path, figure: Figure
) -> None:
    jobs, kills, stops, cuts = scale(200, 20), scale(30, 5), scale(10, 2), scale(10, 2)
    promises, begun = Promises(), time.monotonic()
    with cluster(tmp_path, TASK_SECONDS) as made:
        with users_of(made.site, jobs, promises) as users:
            harms = ["kill"] * kills + ["stop"] * stops + ["cut"] * cuts
            Attack(made, seeded()).run(harms, ATTACK_SECONDS, users)
            for user in users:
                user.result(60)
        drain(made.site.storage)
        seconds = time.monotonic() - begun
        assert len(set(promises.orders)) == jobs
        until(lambda: requests.get(f"{made.site.url()}/health", timeout=10).ok)
        use_all_workers(made, promises)
        drain(made.site.storage)
        made.check()
        made.stop()
    audit(made.site.storage, promises)
    again = ran_again(made.service_log)
    figure(
        f"a cluster of {WORKERS} workers: kill -9 {kills} times, {stops} standstills, all lines "
        f"cut {cuts} times in {ATTACK_SECONDS} s",
        "all jobs completed once, ledger exact, no process left",
        f"{jobs} jobs in {seconds:.0f} s, {again} tasks ran again",
    )
