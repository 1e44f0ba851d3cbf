"""What forked workers and copied stores must not change."""

from __future__ import annotations

import pytest
import ray


@pytest.mark.usefixtures("ray_cluster")
def test_forked_workers_give_other_names_to_what_they_make() -> None:
    """Workers that share the state of Ray's generator of names would make placement groups of one name."""

    @ray.remote(num_cpus=1)
    class Maker:
        def name(self) -> str:
            return ray.NodeID.from_random().hex()

    names = ray.get([maker.name.remote() for maker in (Maker.remote(), Maker.remote())])
    assert names[0] != names[1]
