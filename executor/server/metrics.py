"""What the server counts, as Prometheus reads it."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 120)


class Metrics:
    """One registry a server: several in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        add = self.registry
        self.requests = Counter("stepcoder_requests", "Requests answered", ("route", "status"), registry=add)
        self.programs = Counter("stepcoder_programs", "Programs judged, by verdict", ("verdict",), registry=add)
        self.abandoned = Counter("stepcoder_abandoned", "Programs whose client went away", registry=add)
        self.seconds = Histogram(
            "stepcoder_program_seconds", "From submission to report", buckets=_SECONDS, registry=add
        )
        self.under_way = Gauge("stepcoder_programs_under_way", "Programs that run or wait", registry=add)
        self.bodies = Gauge("stepcoder_body_bytes", "Bodies of requests under way", registry=add)
        self.workers = Gauge("stepcoder_workers", "Programs that can run at once", registry=add)

    def text(self) -> bytes:
        return generate_latest(self.registry)
