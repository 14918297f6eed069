"""GPUs are reserved for all ranks and engines together before any of them starts: a bundle each.

A cluster that is too small, or busy, is told within a deadline and by node; an engine's GPUs are on one node.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stepcoder.errors import UserError

Bundles = Sequence[Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Reservation:
    """Bundles of a placement group: one a learner rank, then one an engine; without GPUs there is no group. Where they
    share GPUs, one an engine and `ranks_each` ranks."""

    group: Any = None
    ranks: int = 0
    ranks_each: int = 1

    def rank(self, index: int) -> dict[str, Any]:
        """Options of a learner rank's actor."""
        return self._options(index // self.ranks_each)

    def engine(self, index: int) -> dict[str, Any]:
        """Options of an engine's actor."""
        return self._options(self.ranks + index)

    def _options(self, bundle: int) -> dict[str, Any]:
        if self.group is None:
            return {}
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        strategy = PlacementGroupSchedulingStrategy(self.group, placement_group_bundle_index=bundle)
        return {"scheduling_strategy": strategy}

    def nodes(self) -> list[str]:
        """Ids of the nodes that hold the bundles, in their order."""
        if self.group is None:
            return []
        from ray.util import placement_group_table

        found = placement_group_table(self.group)["bundles_to_node_id"]
        return [found[index] for index in sorted(found)]

    def release(self) -> None:
        if self.group is not None:
            from ray.util import remove_placement_group

            remove_placement_group(self.group)


NOTHING = Reservation()


def bundles(ranks: int, engines: int, tensor_parallel: int, *, shared: bool = False) -> list[dict[str, float]]:
    """GPUs of each bundle; ranks and an engine that share GPUs share a bundle."""
    return [{"GPU": 1.0}] * (0 if shared else ranks) + [{"GPU": float(tensor_parallel)}] * engines


def reserve(wanted: Bundles, ranks: int, deadline_s: float, ranks_each: int = 1) -> Reservation:
    """Waits until the bundles are there. UserError after the deadline, or at once where they can never be."""
    import ray
    from ray.exceptions import GetTimeoutError
    from ray.util import placement_group

    total = free_by_node(total=True)
    largest = max((bundle["GPU"] for bundle in wanted), default=0.0)
    if largest > max(total.values(), default=0.0):
        raise UserError(
            f"rollout.tensor_parallel = {largest:.0f} is more than the GPUs of any node, and an engine has its GPUs on "
            f"one node. The cluster has: {listed(total)}. Lower it."
        )
    group = placement_group([dict(bundle) for bundle in wanted], strategy="PACK")
    try:
        ray.get(group.ready(), timeout=deadline_s)
    except GetTimeoutError:
        need = sum(bundle["GPU"] for bundle in wanted)
        free = free_by_node()
        Reservation(group).release()
        missing = need - sum(free.values())
        lacks = f"{missing:g} more must be free" if missing > 0 else "they lie on too many nodes for the engines"
        who = f"{ranks} learner ranks, " * bool(ranks) + f"{len(wanted) - ranks} engines"
        raise UserError(
            f"the cluster did not give {need:g} GPUs ({who}) within "
            f"ray.gpus_deadline_s = {deadline_s:g}. Free are: {listed(free)}; {lacks}. Wait for other jobs, lower "
            "learner.ranks or rollout.engines, or raise ray.gpus_deadline_s to wait longer."
        ) from None
    return Reservation(group, ranks, ranks_each)


def free_by_node(*, total: bool = False) -> dict[str, float]:
    """GPUs of each node that has any, by its address: those that nobody holds now, or all of them."""
    import ray
    from ray._private.state import available_resources_per_node

    free = {} if total else available_resources_per_node()
    found = {}
    for node in ray.nodes():
        if node["Alive"] and node["Resources"].get("GPU"):
            held = node["Resources"] if total else free.get(node["NodeID"], {})
            found[f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}, {node['NodeID'][:6]})"] = float(
                held.get("GPU", 0.0)
            )
    return found


def listed(gpus: Mapping[str, float]) -> str:
    return ", ".join(f"{count:g} on {node}" for node, count in gpus.items()) or "no node with GPUs"
