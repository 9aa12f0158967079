"""What a large file costs the sandbox's server: one upload and one download of it, and an unpacking of it from a zip.

    python benchmarks/upload_memory.py [--mib 1024]

Prints, for each, the seconds and how far the memory of the server process (its peak resident size) rose above what it
was before. Needs three times the size on the disk that holds temporary files. Linux alone, since it reads `/proc`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 2**20
DRIVE = "/api/v1/drives/a/b/fs/c"
TOKEN = "made-up"  # noqa: S105 - made up for this run
GOAL = "goal: less than 100 MiB each"


def peak(pid: int) -> int:
    """The most memory that a process had since it was last told to count anew, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("no VmHWM in /proc/PID/status: this kernel does not count it")


@contextmanager
def measured(what: str, pid: int) -> Iterator[None]:
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    before, begun = peak(pid), time.perf_counter()
    yield
    print(f"{what:<10} {time.perf_counter() - begun:6.1f} s  {(peak(pid) - before) / MIB:6.1f} MiB more memory")


def run(url: str, pid: int, mib: int, folder: Path) -> None:
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=600) as client:

        def call(method: str, path: str, content: Any = None, **args: Any) -> dict[str, Any]:
            headers = {"Instabase-API-Args": json.dumps(args)}
            answer: dict[str, Any] = client.request(method, DRIVE + path, content=content, headers=headers).json()
            assert answer["status"] == "OK", answer
            return answer

        call("POST", "/warm", b"x", type="file")
        chunk = b"x" * MIB
        with measured("upload", pid):
            call("POST", "/large", (chunk for _ in range(mib)), type="file")
        headers = {"Instabase-API-Args": json.dumps({"type": "file", "get_content": True})}
        with measured("download", pid), client.stream("GET", f"{DRIVE}/large", headers=headers) as response:
            assert sum(len(part) for part in response.iter_raw()) == mib * MIB
        with (
            zipfile.ZipFile(folder / "z.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open("large", "w", force_zip64=True) as entry,
        ):
            for _ in range(mib):
                entry.write(chunk)
        call("POST", "/z.zip", (folder / "z.zip").read_bytes(), type="file")
        with measured("unzip", pid):
            wish = {"zip_file": "z.zip", "destination": "a/b/fs/c/out"}
            job_id = call("POST", "/unzip", json.dumps(wish).encode())["job_id"]
            while (job := client.get("/api/v1/jobs/status", params={"job_id": job_id}).json())["state"] == "PENDING":
                time.sleep(0.1)
            assert job["status"] == "OK", job


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "token").write_text(TOKEN)
        command = [sys.executable, "-m", "pytest_ibmodels.sandbox", "serve", "--announce", "--exit-with-parent"]
        command += ["--no-preload", "--max-body", str(arguments.mib + 1)]
        command += ["--data", str(folder / "data"), "--token-file", str(folder / "token")]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as server:
            assert server.stdout is not None
            announced = json.loads(server.stdout.readline())
            print(f"a file of {arguments.mib} MiB")
            try:
                run(announced["url"], announced["pid"], arguments.mib, folder)
            finally:
                server.terminate()
    print(GOAL)


if __name__ == "__main__":
    main()
