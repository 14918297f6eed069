"""TensorBoard's event files, in `<run>/tensorboard/`."""

import time
from collections.abc import Mapping

from stepcoder.deploy.run.loggers import About


class TensorBoard:
    def __init__(self, about: About) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder = about.folder / "tensorboard"
        while any(folder.glob(f"*.tfevents.{int(time.time())}.*")):  # within a second their names have no order
            time.sleep(0.05)
        self._events = EventFileWriter(str(folder))
        if about.resumed_step or about.redone:  # TensorBoard drops what an earlier driver wrote of later steps
            session = SessionLog(status=SessionLog.START)
            self._events.add_event(Event(wall_time=time.time(), step=about.resumed_step + 1, session_log=session))

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

        values = [Summary.Value(tag=name, simple_value=number) for name, number in numbers.items()]
        self._events.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))
        self._events.flush()

    def close(self) -> None:
        self._events.close()


make = TensorBoard
