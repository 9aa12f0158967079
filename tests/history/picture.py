"""The picture of the history's page in the documents, made of the generated history with Chromium.

python -m tests.history.picture
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from pytest_ibmodels.reports.html.history_page import history_page
from tests.history.samples import story

PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "history.png"
WIDTH, HEIGHT = 1200, 1060


def main() -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("there is no Chromium here: apt-get install chromium")
    runs = [run for run in story() if run.environment != "prod"]
    html, _ = history_page("receipts", runs, "f1", 0.01, selection="f1, the last 100 runs of each model test")
    PICTURE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "history.html")
        page.write_text(html, encoding="utf-8")
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={PICTURE}", f"--user-data-dir={folder}/profile"]
        subprocess.run([*command, page.as_uri()], check=True, capture_output=True, timeout=60)


if __name__ == "__main__":
    main()
