"""Models that a node serves: each has a process, which stays for the next request of any server."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_ibmodels.sandbox.execution.served import Answer, LocalServed, ServedSpec


@dataclass(eq=False)
class _Model:
    """A model; ``lock`` is held while it is used."""

    served: LocalServed
    lock: threading.Lock = field(default_factory=threading.Lock)
    last_used: float = field(default_factory=time.monotonic)


class NodeModels:
    """The models of a node, by name. Thread-safe."""

    def __init__(self, make: Callable[[], LocalServed], scratch: Path) -> None:
        """Make it without models; ``make`` makes what answers for one, and ``scratch`` is for working directories."""
        self._make = make
        self._scratch = scratch
        self._lock = threading.Lock()
        self._models: dict[str, _Model] = {}

    def ask(self, name: str, spec: ServedSpec, request: dict[str, Any]) -> Answer:
        """Answer a request, after loading the model, unless it is loaded."""
        with self._lock:
            model = self._models.setdefault(name, _Model(self._make()))
        with model.lock:
            try:
                return model.served.ask(spec.model_copy(update={"scratch": self._scratch}), request)
            finally:
                model.last_used = time.monotonic()

    def names(self) -> list[str]:
        """Return the names of the models that are loaded."""
        with self._lock:
            return sorted(name for name, model in self._models.items() if model.served.is_loaded)

    def unload(self, name: str) -> None:
        """Unload a model, after the request that it is answering."""
        with self._lock:
            model = self._models.get(name)
        if model is not None:
            with model.lock:
                model.served.unload()

    def unload_idle(self, seconds: float) -> None:
        """Unload the models that had no request for so long."""
        with self._lock:
            models = list(self._models.values())
        for model in models:
            if time.monotonic() - model.last_used > seconds and model.lock.acquire(blocking=False):
                try:
                    model.served.unload()
                finally:
                    model.lock.release()

    def kill(self) -> None:
        """Kill all processes, for good."""
        with self._lock:
            models = list(self._models.values())
        for model in models:
            model.served.kill()
