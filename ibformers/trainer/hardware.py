"""Choice of device, threads and precision."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Precision = Literal["fp32", "bf16", "fp16"]

logger = logging.getLogger(__name__)


def use_all_cores() -> None:
    """Set torch's number of threads to the available cores, unless OMP_NUM_THREADS is set."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(available_cores())


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def prediction_threads() -> Iterator[None]:
    """Set torch's number of threads to at most two within the context.

    A different number of threads changes the order of sums, and so the last bits of the results. More than two threads
    gain little on one document.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(2, available_cores()))
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
