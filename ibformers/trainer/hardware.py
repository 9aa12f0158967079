"""What the machine offers to a training: device, threads, number formats."""

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
    """Let torch compute with as many threads as this process has cores, unless OMP_NUM_THREADS says otherwise."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(available_cores())


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def prediction_threads() -> Iterator[None]:
    """Compute with a fixed number of threads meanwhile, two where there are two cores.

    With another number, matrix products are summed in another order and differ in the last bits; more than two gain
    little on one document.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(2, available_cores()))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_device(*, use_gpu: bool) -> Literal["cuda", "cpu"]:
    """Return where to train."""
    import torch

    if use_gpu and torch.cuda.is_available():
        return "cuda"
    if use_gpu:
        logger.info("no GPU on this machine: training on the CPU")
    return "cpu"


def choose_precision(device: Literal["cuda", "cpu"], *, mixed: bool | None) -> Precision:
    """Return the number format of the training's matrix products; None takes the fast one if the machine has it."""
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
    """Emulated bf16 is slower than fp32, so only instructions count, which Linux lists."""
    if platform.system() != "Linux":
        return False
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split()
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)
