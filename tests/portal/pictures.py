"""Pictures of the portal in the documents, of a real sandbox, with Chromium: a training that runs, and other pages.

python -m tests.portal.pictures
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.portal.conftest import CHROMIUM, Portal, sign_in
from tests.portal.every_page import fill
from tests.portal.pushed import FILES, FOLDER

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
WIDTH, HEIGHT = 1100, 1000
PAGES = {
    "portal-drive": ("/portal/drive?path=acme/receipts/fs/Files/scans", 780),
    "portal-marketplace": ("/portal/marketplace", 420),
    "portal-settings": ("/portal/settings", 600),
}
"""Name of the picture → path of the page, and height."""


def main() -> None:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        portal = Portal(Path(folder, "data"), "--mount", "acme/samples/fs/Files/licenses=sample:drivers-licenses")
        portal.push(FOLDER, FILES)
        job_id = portal.train_shown("wait", model_name="Receipts", epochs=10)
        portal.wait_for_report(job_id, "progress")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(base_url=portal.url, viewport={"width": WIDTH, "height": HEIGHT})
        sign_in(tab)
        tab.goto(f"/portal/jobs/{job_id}")
        tab.get_by_text("have no label").wait_for()
        tab.screenshot(path=PICTURES / "portal.png")
        fill(portal)
        for name, (path, height) in PAGES.items():
            tab.set_viewport_size({"width": WIDTH, "height": height})
            tab.goto(path)
            tab.screenshot(path=PICTURES / f"{name}.png")
        browser.close()
        portal.close()


if __name__ == "__main__":
    main()
