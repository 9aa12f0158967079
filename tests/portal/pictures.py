"""Pictures of the portal in the documents, of a real sandbox, with Chromium: a training that runs, and other pages.

python -m tests.portal.pictures
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.portal.conftest import CHROMIUM, Portal, sign_in
from tests.portal.pushed import FOLDER, PACKAGE
from tests.sandbox.running import zipped

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
WIDTH, HEIGHT = 1100, 1000
PAGES = {
    "portal-drive": ("/portal/drive?path=acme/receipts/fs/Files/scans", 780),
    "portal-marketplace": ("/portal/marketplace", 420),
    "portal-settings": ("/portal/settings", 600),
}
"""Name of the picture → path of the page, and height."""
TRAINING = """
import math, time

BEST = {"Total": 0.93, "Date": 0.97, "Name": 0.82}

def train(job_metadata_client, model_name, epochs, **others):
    data = {"history": [], "evaluations": []}
    print("INFO 160 documents, 40 of them test", flush=True)
    for step in range(1, 401):
        epoch, loss = step / 50, 1.8 * math.exp(-step / 100) + 0.03 * math.cos(step)
        data["history"].append({"step": step, "epoch": epoch, "loss": loss})
        if step % 50 == 0:
            f1 = {name: top * (1 - math.exp(-epoch / 2)) for name, top in BEST.items()}
            data["evaluations"].append({"step": step, "epoch": epoch, "metrics": {"f1": f1}})
            data["evaluation_results"] = {"f1": f1}
            data["evaluation_intervals"] = {"f1": {name: [f1[name] - 0.04, f1[name] + 0.03] for name in f1}}
            print(f"INFO epoch {epoch:g} of {epochs}: f1 of Total {f1['Total']:.3f}", flush=True)
    print("WARNING 2 documents have no label `Date`", flush=True)
    data["progress"] = 0.8
    job_metadata_client.update_metadata(data)
    job_metadata_client.update_message("Epoch 8 of 10")
    time.sleep(600)
"""


def fill(portal: Portal) -> None:
    """Put files in the drive, and publish packages."""
    for number, size in enumerate((48_213, 51_904, 47_388, 60_127), start=1):
        portal.write(f"acme/receipts/fs/Files/scans/receipt-{number:03}.ibmsg", b"x" * size)
    portal.write("acme/receipts/fs/Files/scans/labels/fields.json", "{}")
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        content = zipped({"package.json": json.dumps({"name": "receipts", "version": version}), "receipts/a.py": ""})
        portal.write("acme/receipts/fs/Files/receipts.ibsolution", content)
        portal.api("marketplace/publish", {"ibsolution_path": "acme/receipts/fs/Files/receipts.ibsolution"})
    portal.api("marketplace/install", {"name": "receipts", "version": "1.1.0"})


def main() -> None:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        portal = Portal(Path(folder, "data"), "--mount", "acme/samples/fs/Files/licenses=sample:drivers-licenses")
        files = {"package.json": "{}", f"{PACKAGE}/__init__.py": "", f"{PACKAGE}/training.py": TRAINING}
        portal.push(FOLDER, files)
        job_id = portal.train_shown("train", model_name="Receipts", epochs=10)
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
