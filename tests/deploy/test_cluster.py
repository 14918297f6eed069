"""Losses, deadlines and reservations of a run on a cluster."""

import asyncio
import gc
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import ray
from ray.exceptions import AuthenticationError, NodeDiedError, ObjectLostError, RaySystemError

from stepcoder.deploy.checks.machine import GIB
from stepcoder.deploy.checks.nodes import look
from stepcoder.deploy.checks.preflight import Ready
from stepcoder.deploy.checks.starter_model import STARTER
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.run.checkpoint import CheckpointWriter
from stepcoder.deploy.run.faults import HOUR_S, Faults
from stepcoder.deploy.run.faults import told as told_of
from stepcoder.deploy.training import cluster, starting
from stepcoder.deploy.training.cluster import actors_environment
from stepcoder.deploy.training.executors import sites
from stepcoder.deploy.training.lives import live_on
from stepcoder.deploy.training.placement import Placement
from stepcoder.deploy.training.reservation import bundles, free_by_node, reserve
from stepcoder.deploy.training.stopping import Stopping
from stepcoder.deploy.training.waiting import is_loss
from stepcoder.errors import UserError
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.actors import Site
from stepcoder.learner.rank import HeldGPU
from stepcoder.learner.service import RankHangs
from stepcoder.rollout.config import RolloutConfig
from stepcoder.waiting import WaitedTooLong, watched, within
from tests.tools.cluster import cluster_with_gpus
from tests.tools.patience import until

RUN: Any = SimpleNamespace(checkpoint=None, checkpoints=Path("nowhere"), note=lambda text: None)
PROGRESS: Any = SimpleNamespace(message=lambda text: None)


def test_a_wait_ends_at_its_deadline_and_says_what_it_was_for() -> None:
    async def scenario() -> str:
        with pytest.raises(WaitedTooLong, match="waited 0.01 s for the moon"):
            await within(0.01, "the moon", asyncio.sleep(1000))
        return await within(1000, "nothing", asyncio.sleep(0, "here"))

    assert asyncio.run(scenario()) == "here"


def test_a_wait_that_ends_before_it_began_leaves_no_coroutine_behind(recwarn: pytest.WarningsRecorder) -> None:
    """As Ctrl-C does while services start."""

    async def scenario() -> None:
        waiting = asyncio.ensure_future(within(1000, "nothing", asyncio.sleep(1000)))
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(scenario())
    gc.collect()
    assert [str(warning.message) for warning in recwarn if "never awaited" in str(warning.message)] == []


def test_what_is_given_up_is_no_news() -> None:
    said = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context["message"]))
        with pytest.raises(WaitedTooLong):
            await within(0.01, "two", asyncio.gather(asyncio.sleep(1000), asyncio.sleep(1000)))
        await asyncio.sleep(0.01)
        gc.collect()

    asyncio.run(scenario())
    assert said == []


def test_work_is_given_up_where_what_watches_it_ends() -> None:
    async def dies() -> NoReturn:
        await asyncio.sleep(0)
        raise RankHangs("silent")

    given_up = []

    async def works() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            given_up.append(1)

    with pytest.raises(RankHangs):
        asyncio.run(watched(works(), dies()))
    assert given_up and is_loss(RankHangs("silent"))
    assert asyncio.run(watched(asyncio.sleep(0, "done"), asyncio.sleep(1000))) == "done"


def test_a_lost_node_or_object_is_a_loss_and_a_mistake_is_none() -> None:
    assert is_loss(NodeDiedError("node 7 died"))
    assert is_loss(ObjectLostError("00", None, ""))
    assert is_loss(WaitedTooLong("waited 3 s"))
    assert not is_loss(ValueError("wrong"))
    assert not is_loss(UserError("wrong"))


def test_losses_are_budgeted_by_the_hour_and_the_last_message_has_all_causes() -> None:
    now = [0.0]
    faults, lives = Faults(2, clock=lambda: now[0]), list[float]()

    async def life() -> None:
        lives.append(now[0])
        faults.lost(f"rollout-{len(lives)}", "alone")  # another's losses do not count
        now[0] += HOUR_S if len(lives) == 2 else 60.0
        raise WaitedTooLong(f"loss {len(lives)}")

    with pytest.raises(UserError) as caught:
        asyncio.run(live_on(RUN, PROGRESS, life, faults, Stopping()))
    assert len(lives) == 4 and "services was lost 3 times within an hour" in str(caught.value)
    assert all(f"services: loss {n}\n" in str(caught.value) for n in (1, 2, 3, 4))


def test_a_loss_without_words_is_told_by_its_kind() -> None:
    async def life() -> None:
        raise TimeoutError

    with pytest.raises(UserError, match="TimeoutError"):
        asyncio.run(live_on(RUN, PROGRESS, life, Faults(0), Stopping()))


@pytest.mark.parametrize(("error", "ended"), [(NodeDiedError("node 7"), 0), (WaitedTooLong("3 s"), 1)])
def test_the_engines_stay_where_it_is_known_that_another_service_is_gone(error: Exception, ended: int) -> None:
    errors, ends, faults = [error], [], Faults(3)

    async def life() -> None:
        if errors:
            raise errors.pop()

    async def end() -> None:
        ends.append(1)

    asyncio.run(live_on(RUN, PROGRESS, life, faults, Stopping(), end))
    assert len(ends) == ended and faults.causes == [("services" if ended else "learner") + f": {error}"]


def test_what_was_lost_is_on_file_with_the_time_until_it_was_in_use_again(tmp_path: Path) -> None:
    now, file = [0.0], tmp_path / "faults.jsonl"
    faults = Faults(3, file, lambda: now[0])
    faults.lost("rollout-1", "killed")
    now[0] = 2.0
    faults.lost("rollout-1", "its successor too")
    now[0] = 7.5
    faults.back("learner", "rollout-1")
    faults.back("rollout-1")
    assert faults.metrics()["faults"] == {"rollout-1": "killed"} and "faults" not in faults.metrics()
    file.write_text(file.read_text() + '{"who": "cut sh')
    faults = Faults(3, file)
    assert [(f.who, f.cause, f.seconds) for f in faults.mended] == [("rollout-1", "killed", 7.5)]
    assert faults.metrics() == {"faults/engines": 1.0, "faults/learner": 0.0, "faults/seconds": 7.5}
    assert told_of(faults.mended) == {"rollout": {"count": 1, "seconds": [7.5], "causes": ["killed"]}}


def test_executors_take_the_cores_that_are_free_and_none_of_the_learners() -> None:
    cores, busy = {"a": 64.0, "b": 64.0, "c": 300.0}, {"a": 64.0, "b": 12.0}
    free = sites(ExecutorConfig(), cores, busy)
    assert free == [Site("b", 52), Site("c", 256)]
    assert sites(ExecutorConfig(actors=2, workers=5), cores, busy) == [Site(None, 5)] * 2
    assert sites(ExecutorConfig(), {"a": 64.0}, {}) == sites(ExecutorConfig(), cores, cores) == [Site(None, 2)]


def test_an_engine_without_a_cache_of_its_own_shares_a_gpu() -> None:
    ready = Ready(Path(STARTER), (), {})
    for engine, sized in (("vllm", True), ("transformers", False)):
        config = load_config(None, ["--rollout.engine", engine], {})
        awake, asleep = (
            cluster.own_cache(config, ready, Placement(cuda=True, shared=True, sleeps=sleeps), [HeldGPU("0", 80 * GIB)])
            for sleeps in (False, True)
        )
        RolloutConfig.model_validate(config.rollout.model_dump() | awake)
        assert bool(awake) == bool(asleep) == sized
        assert not sized or 0 < awake["gpu_cache_gib"] < asleep["gpu_cache_gib"] < 80


def test_the_drivers_variables_reach_the_actors_but_for_those_of_the_job() -> None:
    own = {"HF_HOME": "/models", "NCCL_SOCKET_IFNAME": "eth0", "SECRET": "x", "HF_TOKEN": "y"}
    own["RAY_JOB_CONFIG_JSON_ENV_VAR"] = '{"runtime_env": {"env_vars": {"HF_TOKEN": "y"}}}'
    found = actors_environment({"NCCL_SOCKET_IFNAME": "ib0", "OTHER": "1"}, own)
    assert found == {"HF_HOME": "/models", "NCCL_SOCKET_IFNAME": "ib0", "OTHER": "1"}


def test_a_checkpoint_is_sealed_only_with_every_ranks_parts(tmp_path: Path) -> None:
    for written, told in (("a", {"a": 1, "b": 1}), ("a", {"a": 2}), ("a", {})):
        with pytest.raises(UserError, match="run.directory: of the checkpoint's"):
            with CheckpointWriter(tmp_path, 1) as writer:
                (writer.path / written).write_text("x")
                writer.expect(told)
        assert not list(tmp_path.iterdir())
    with CheckpointWriter(tmp_path, 1) as writer:
        (writer.path / "a").write_text("x")
        writer.expect({"a": 1})
    assert (tmp_path / "step-00000001").is_dir()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (AuthenticationError("no token"), "ray.address head:6379: the cluster refuses this machine's token"),
        (RuntimeError("RPC failed: UNAUTHENTICATED"), "refuses this machine's token.*ray get-auth-token"),
        (RuntimeError("Timed out while waiting for GCS to become available."), "If it asks for a token: RAY_AUTH_MODE"),
        (ConnectionError("nobody there"), "ray.address head:6379: nobody there"),
        (RuntimeError("Version mismatch: the cluster has Ray 2.59"), "Version mismatch: the cluster has Ray 2.59"),
    ],
)
def test_what_a_cluster_refuses_at_its_door_is_one_message(
    monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def init(**_: object) -> None:
        raise error  # as Ray does

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with pytest.raises(UserError, match=said):
        cluster.join_cluster(load_config(None, ["--ray.address", "head:6379"], {}))


@pytest.mark.parametrize(
    "failure",
    [
        Exception("The current node timed out during startup. This could happen because ..."),
        RaySystemError("Failed to connect to GCS. Please check if the GCS server is running"),
    ],
    ids=["node", "GCS"],
)
def test_a_machine_on_which_ray_does_not_start_is_told(
    failure: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def init(**_: object) -> None:
        raise failure

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(starting, "own_cluster", list)
    with pytest.raises(UserError, match="Ray did not start here, at 3 attempts"):
        cluster.join_cluster(load_config(None, [], {}))
    told = [f"Ray did not start here, at attempt {n} of 3: once more" for n in (1, 2)]  # each takes half a minute
    assert [record.getMessage() for record in caplog.records] == told


def test_a_cluster_is_looked_at_when_it_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    here = look()
    other = replace(here, name="node-2", versions=here.versions | {"torch": "2.1.0"})
    for name, found in {"_join": None, "gpus": 0.0, "looked": [here, other]}.items():
        monkeypatch.setattr(cluster, name, lambda *_, found=found: found)
    monkeypatch.setattr(ray, "nodes", list)
    with pytest.raises(UserError, match=r"the nodes differ in torch: .* on .*, 2.1.0 on node-2"):
        cluster.join_cluster(load_config(None, ["--ray.address", "head:6379"], {}))
    cluster.join_cluster(load_config(None, [], {}))  # of its own, on one machine


@pytest.fixture(scope="module")
def eight_gpus() -> Iterator[None]:
    with cluster_with_gpus(8):
        yield


@ray.remote(num_cpus=0)
class Holder:
    def gpus(self) -> list[int]:
        return [int(number) for number in ray.get_gpu_ids()]

    def visible(self) -> str | None:
        return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_ranks_and_engines_get_gpus_of_their_own(eight_gpus: None) -> None:
    reservation = reserve(bundles(4, 2, 2), 4, 60)
    try:
        assert len(reservation.nodes()) == 6
        holders = [Holder.options(num_gpus=1, **reservation.rank(i)).remote() for i in range(4)]
        holders += [Holder.options(num_gpus=2, **reservation.engine(i)).remote() for i in range(2)]
        found = ray.get([holder.gpus.remote() for holder in holders])
        assert sorted(number for each in found for number in each) == list(range(8))
        assert sum(free_by_node().values()) == 0
    finally:
        reservation.release()


def test_a_busy_cluster_is_refused_with_what_is_free_and_what_is_missing(eight_gpus: None) -> None:
    busy = reserve(bundles(6, 0, 1), 6, 60)
    try:
        with pytest.raises(UserError, match=r"did not give 4 GPUs \(2 learner ranks, 1 engines\).*2 more must be free"):
            reserve(bundles(2, 1, 2), 2, 1)
    finally:
        busy.release()
    with pytest.raises(UserError, match="tensor_parallel = 16 is more than the GPUs of any node.*8 on "):
        reserve(bundles(1, 1, 16), 1, 60)
    after = reserve(bundles(2, 1, 2), 2, 60)  # nothing of what was refused is held
    after.release()


def test_ranks_and_an_engine_that_share_gpus_are_on_one_node_and_the_ranks_hold_them(eight_gpus: None) -> None:
    reservation = reserve(bundles(4, 2, 2, shared=True), 0, 60, 2)
    try:
        nodes = reservation.nodes()
        assert len(nodes) == 2
        ranks = [Holder.options(num_gpus=1, **reservation.rank(i)).remote() for i in range(4)]
        held = [HeldGPU(str(number), 1.0) for rank in ranks for number in ray.get(rank.gpus.remote())]
        assert sorted(gpu.name for gpu in held[:2] + held[2:]) == sorted({gpu.name for gpu in held})
        for index in range(2):
            environment = {"env_vars": cluster.visible(held, index, 2)}
            engine = Holder.options(num_gpus=0, runtime_env=environment, **reservation.engine(index)).remote()
            assert ray.get(engine.visible.remote()) == ",".join(gpu.name for gpu in held[2 * index : 2 * index + 2])
    finally:
        reservation.release()


@pytest.mark.skipif("torch" not in look().builds, reason="this torch can use GPUs")
def test_nodes_that_cannot_compute_the_run_are_refused_and_nothing_of_them_is_held(eight_gpus: None) -> None:
    config = load_config(None, ["--learner.device", "cuda"], {})
    with pytest.raises(UserError, match="torch is a build for CPUs on .*where the run is to compute on GPUs"):
        cluster.reserved(config, Path(STARTER), Placement(cuda=True))  # of this machine, which has no GPU
    until(lambda: sum(free_by_node().values()) == 8, free_by_node)
