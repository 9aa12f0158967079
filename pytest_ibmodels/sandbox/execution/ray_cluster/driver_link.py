"""The server's end of the driver: its process, which is started again when it has ended, and requests to it."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from typing import Any

from pytest_ibmodels.sandbox.errors import StartError
from pytest_ibmodels.sandbox.execution.channel import receive_json, send_json
from pytest_ibmodels.sandbox.execution.ray_cluster.cluster_file import ClusterFile, ray_environment
from pytest_ibmodels.sandbox.settings import Settings

logger = logging.getLogger(__name__)

DRIVER_LOG = "ray-driver.log"
_DRIVER = "pytest_ibmodels.sandbox.execution.ray_cluster.driver"
_AGAIN_SECONDS = 2.0
_END_SECONDS = 5.0


class _DriverProcess:
    """A process of the driver."""

    def __init__(self, settings: Settings) -> None:
        """Start it. Raises: StartError, OSError."""
        # The head may have come back at another address.
        cluster = ClusterFile.read(settings.data)
        if cluster is None:
            raise StartError(f"the data folder {settings.data} has lost its cluster's file")
        self.channel, theirs = Pipe()
        self._sending = threading.Lock()
        with theirs, (settings.data / DRIVER_LOG).open("ab") as output:
            # -P: modules of the working directory are not found, here and in the cluster's processes.
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", _DRIVER, str(theirs.fileno())],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=[theirs.fileno()],
                env=ray_environment(settings.data, os.environ), start_new_session=True,
            )  # fmt: skip
        code = {
            "preload": settings.preload,
            "find_links": list(settings.find_links),
            "pip_variables": dict(settings.pip_variables),
            "model_idle": settings.model_idle,
        }
        data = {"data": str(settings.data), "data_id": cluster.id, "lease": settings.node_lease}
        self.send({"address": cluster.address, **data, "settings": code})

    def send(self, message: dict[str, Any]) -> None:
        """Send a message.

        Raises:
            OSError: The process has ended.
        """
        with self._sending:
            send_json(self.channel, message)

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait(_END_SECONDS)
        self.channel.close()


class DriverLink:
    """Link to a driver that always runs, but is not always connected to the cluster. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        on_event: Callable[[dict[str, Any]], None],
        on_disconnect: Callable[[], None],
    ) -> None:
        """Make a link, which works after :meth:`start`.

        Args:
            settings: Those of the server.
            on_event: Takes what the driver says, such as *connected*, in one thread.
            on_disconnect: Called when the driver has ended.
        """
        self._settings = settings
        self._on_event = on_event
        self._on_disconnect = on_disconnect
        self._answered = threading.Condition()
        self._answers: dict[int, Any] = {}
        """Answers by request; None as long as there is none."""
        self._last_request = 0
        self._driver: _DriverProcess | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_driver, name="ray-driver", daemon=True)

    def start(self) -> None:
        """Start the driver."""
        self._thread.start()

    def send(self, message: dict[str, Any]) -> None:
        """Send a message, if there is a driver."""
        driver = self._driver
        if driver is not None:
            with suppress(OSError):
                driver.send(message)

    def request(self, message: dict[str, Any], seconds: float) -> Any:
        """Send a request; return its answer, or None if there is none within ``seconds``."""
        with self._answered:
            self._last_request += 1
            number = self._last_request
            if self._driver is None:
                return None
            self._answers[number] = None
        self.send({**message, "id": number})
        with self._answered:
            self._answered.wait_for(lambda: self._answers.get(number, 0) is not None, seconds)
            return self._answers.pop(number, None)

    def close(self) -> None:
        """End the driver."""
        self._closing.set()
        driver = self._driver
        if driver is not None:
            driver.process.kill()
        if self._thread.is_alive():
            self._thread.join(_END_SECONDS)

    def _keep_driver(self) -> None:
        while not self._closing.is_set():
            try:
                driver = self._driver = _DriverProcess(self._settings)
            except Exception:
                logger.exception("the driver of the cluster cannot be started")
            else:
                self._listen(driver)
            self._closing.wait(_AGAIN_SECONDS)

    def _listen(self, driver: _DriverProcess) -> None:
        try:
            while not self._closing.is_set():
                self._take(receive_json(driver.channel))
        except (EOFError, OSError):
            pass
        except Exception:
            logger.exception("the driver of the cluster")
        finally:
            self._driver = None
            driver.close()
            with self._answered:
                # Nobody will answer.
                self._answers = {number: answer for number, answer in self._answers.items() if answer is not None}
                self._answered.notify_all()
            self._on_disconnect()

    def _take(self, message: dict[str, Any]) -> None:
        if message["event"] == "leaving":
            logger.warning("the connection to the cluster is made anew: %s", message["reason"])
        elif message["event"] != "answer":
            self._on_event(message)
        else:
            with self._answered:
                if message["id"] in self._answers:
                    self._answers[message["id"]] = message["answer"]
                    self._answered.notify_all()
