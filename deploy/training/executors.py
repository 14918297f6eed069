"""Where executors run and how many programs each runs at once, from what a cluster has."""

from collections.abc import Mapping, Sequence

from stepcoder.executor.config import ProgramConfig
from stepcoder.executor.pool.actors import Site

A_PROCESS = 2  # cores of a learner rank or an engine that computes on a GPU
MOST = 256  # programs of one actor


def sites(config: ProgramConfig, cores: Mapping[str, float], busy: Mapping[str, float]) -> Sequence[Site]:
    """One on each node with cores to spare. `cores`: of each node, by its id; `busy`: those of learner and engines.

    As configured, and placed by Ray, where that is told, where there is one node, and where none has any to spare.
    """
    spare = {node: min(MOST, int(count - busy.get(node, 0.0))) for node, count in cores.items()}
    found = [Site(node, count) for node, count in spare.items() if count >= 1]
    if config.actors is not None or len(cores) < 2 or not found:
        return [Site(None, config.workers)] * (config.actors or 1)
    return found


def free_cores() -> dict[str, float]:
    """Of each node of the cluster, by its id: those that nobody has reserved."""
    import ray
    from ray._private.state import available_resources_per_node

    free = available_resources_per_node()
    return {
        node["NodeID"]: float(free.get(node["NodeID"], {}).get("CPU", 0.0)) for node in ray.nodes() if node["Alive"]
    }
