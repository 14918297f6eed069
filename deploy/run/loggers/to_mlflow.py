"""MLflow. MLFLOW_TRACKING_URI and its other variables work as usual; the run's own id is kept in the run directory."""

import re
from collections.abc import Mapping

from stepcoder.deploy.run.loggers import About
from stepcoder.files import write_whole

KEPT = "mlflow-run"
_NOT_ALLOWED = re.compile(r"[^\w\-. /]")
_MOST_PARAMS, _LONGEST = 100, 500  # of one request, of one value (characters)


class MLflow:
    def __init__(self, about: About) -> None:
        from mlflow.entities import Metric, Param  # pyright: ignore[reportMissingImports]
        from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]

        self._client, self._metric = MlflowClient(), Metric
        kept = about.folder / KEPT
        if kept.is_file():
            self._run = kept.read_text(encoding="utf-8").strip()
            self._client.update_run(self._run, status="RUNNING")
            return
        experiment = self._client.get_experiment_by_name(about.project)
        number = experiment.experiment_id if experiment else self._client.create_experiment(about.project)
        name = (about.place or str(about.folder)).rstrip("/").rsplit("/", 1)[-1]
        self._run = self._client.create_run(number, run_name=name).info.run_id
        params = [Param(key, str(value)[:_LONGEST]) for key, value in (about.settings or {}).items()]
        for first in range(0, len(params), _MOST_PARAMS):
            self._client.log_batch(self._run, params=params[first : first + _MOST_PARAMS])
        write_whole(kept, self._run + "\n")

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        import time

        now = int(1000 * time.time())
        named = {_NOT_ALLOWED.sub("_", name): value for name, value in numbers.items()}
        self._client.log_batch(self._run, [self._metric(name, value, now, step) for name, value in named.items()])

    def close(self) -> None:
        self._client.set_terminated(self._run)


make = MLflow
