"""Limit of wrong tokens per address."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

MOST_FAILURES = 10
WINDOW_SECONDS = 300.0
_MOST_ADDRESSES = 10_000


class Throttle:
    """Counts wrong tokens per address; an IPv6 network of 64 bits counts as one address."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def wait_seconds(self, address: str) -> float:
        """Return how long this address has to wait before it may try again; 0 if it may try now."""
        failures = self._recent(_network(address))
        return failures[0] + WINDOW_SECONDS - self._clock() if len(failures) >= MOST_FAILURES else 0.0

    def count_failure(self, address: str) -> None:
        network = _network(address)
        self._failures[network] = [*self._recent(network), self._clock()]
        self._failures.move_to_end(network)
        while len(self._failures) > _MOST_ADDRESSES:
            self._failures.popitem(last=False)

    def forgive(self, address: str) -> None:
        """Forget the failures of an address that has shown a right token."""
        self._failures.pop(_network(address), None)

    def _recent(self, network: str) -> list[float]:
        since = self._clock() - WINDOW_SECONDS
        return [moment for moment in self._failures.get(network, ()) if moment > since]


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
