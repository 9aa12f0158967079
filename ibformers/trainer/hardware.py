"""Choice of device, threads and precision."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Precision = Literal["fp32", "bf16", "fp16"]

T = TypeVar("T")
R = TypeVar("R")

MAX_PREDICTION_THREADS = 2
"""More threads gain little on one document."""

SHORT = 64
"""Inputs with fewer tokens are predicted with one thread. Two threads wait for each other after every small operation,
and they change the last bits of tiny inputs."""

logger = logging.getLogger(__name__)

_this_thread = threading.local()


def use_all_cores() -> None:
    """Set torch's number of threads to the available cores, unless OMP_NUM_THREADS is set."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(available_cores())


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def prediction_threads(limit: int = MAX_PREDICTION_THREADS) -> Iterator[None]:
    """Set torch's number of threads to at most `limit`, and at most two, within the context.

    In a thread of `map_in_threads`, it is one. A different number of threads may change the order of sums, and so the
    last bits of the results.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1 if _has_one_thread() else min(limit, _prediction_cores()))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_for(tokens: int) -> int:
    """Return the number of threads to predict an input of this many tokens with."""
    return 1 if tokens < SHORT else MAX_PREDICTION_THREADS


def map_in_threads(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Call a function that predicts with each item, and yield the results in order.

    Several items are predicted at once, each with one thread of torch: threads that share the sums of one item wait for
    each other after every operation.
    """
    workers = min(_prediction_cores(), len(items))
    if workers < 2 or _has_one_thread():
        yield from map(function, items)
        return
    import torch

    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prediction", initializer=_use_one_thread)
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)
        # New threads start with the number that any thread has set last.
        torch.set_num_threads(before)


def _prediction_cores() -> int:
    return min(MAX_PREDICTION_THREADS, available_cores())


def _has_one_thread() -> bool:
    return getattr(_this_thread, "has_one_thread", False)


def _use_one_thread() -> None:
    import torch

    _this_thread.has_one_thread = True
    # Reading the number ends the set-up of this thread, which would otherwise overwrite it later.
    torch.get_num_threads()
    torch.set_num_threads(1)


def choose_device(*, use_gpu: bool) -> Literal["cuda", "cpu"]:
    """Return the device to train on."""
    import torch

    if use_gpu and torch.cuda.is_available():
        return "cuda"
    if use_gpu:
        logger.info("no GPU on this machine: training on the CPU")
    return "cpu"


def choose_precision(device: Literal["cuda", "cpu"], *, mixed: bool | None) -> Precision:
    """Return the precision of matrix products in training. None for `mixed` enables it if the machine is fast at it."""
    import torch

    if mixed is False:
        return "fp32"
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if _cpu_has_bf16():
        return "bf16"
    if mixed:
        logger.info(
            "use_mixed_precision: this CPU has no bf16 instructions, where it would only be slower: training in fp32"
        )
    return "fp32"


def _cpu_has_bf16() -> bool:
    """Return whether the CPU has bf16 instructions, as listed by Linux; emulated bf16 is slower than fp32."""
    if platform.system() != "Linux":
        return False
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split()
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)
