"""From the acceptance of a training job to its first step done, in the sandbox: the first job, and later ones.

    python benchmarks/job_start.py [--jobs 4]

Trains on the generated driver's licences; each job is cancelled once its first step is reported.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

from pytest_ibmodels.engine.polling import Limits
from pytest_ibmodels.engine.routes.annotator import AnnotatorRoute
from pytest_ibmodels.engine.session import EnvironmentSession
from pytest_ibmodels.instabase.clock import SystemClock
from pytest_ibmodels.packaging import build_package
from pytest_ibmodels.spec import ModelTest, load_environments

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "sandbox/ci/fs/Instabase Drive/samples/drivers-licenses/NYDriversLicenses.ibannotator"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=4)
    arguments = parser.parse_args()
    session = EnvironmentSession(load_environments(None).environments["sandbox"], Limits(), SystemClock())
    route = AnnotatorRoute()
    test = ModelTest(name="Start", line=1, env=("sandbox",), ibannotator=PROJECT, time_limit=300)
    begun = time.perf_counter()
    context = await session.run_context(build_package(ROOT / "ibformers"))
    print(f"sandbox started, code pushed: {time.perf_counter() - begun:.1f} s")
    try:
        for number in range(arguments.jobs):
            accepted = time.perf_counter()
            job_id = await route.start_training(context, test)
            while not (state := await route.poll(context, job_id)).fraction:
                if state.error:
                    raise SystemExit(state.error)
                await asyncio.sleep(0.02)
            print(f"job {number + 1}: first step done after {time.perf_counter() - accepted:.2f} s")
            await context.client.jobs.cancel(job_id)
    finally:
        await session.close()
    print("goals: within 8 s for the first job, within 2 s for later ones")


if __name__ == "__main__":
    asyncio.run(main())
