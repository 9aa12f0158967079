"""Training code that the tests of the portal push."""

PACKAGE = "shown"
TRAINING = r'''
import os, time

MARKUP = "<script>document.title='taken over'</script>\"'><img src=x onerror=alert(1)>"
HOSTILE = MARKUP + " \u202egnirts \ud800 " + "x" * 10_000

def learn(job_metadata_client, steps=40, pause=0.05, until="", **others):
    """Reports curves and metrics; goes on until a file is there, if its name is given."""
    data = {"history": [], "evaluations": []}
    for step in range(steps):
        data["history"].append({"step": step, "epoch": step / 10, "loss": 2 / (1 + step), "learning_rate": 1e-4})
        data["progress"] = step / steps
        if step % 10 == 9:
            metrics = {"f1": {"Name": step / 50, "Total": step / 60}, "accuracy": step / 45}
            data["evaluations"].append({"step": step, "epoch": step / 10, "metrics": metrics})
            data["evaluation_results"] = metrics
        job_metadata_client.update_metadata(data)
        job_metadata_client.update_message(f"Step {step} of {steps}")
        print(f"step {step}", flush=True)
        if step == 12:
            print("ERROR: row 17 has no label", flush=True)
            print(HOSTILE, flush=True)
        time.sleep(pause)
    line = 0
    while until and not os.path.exists(until):
        print(f"line {line}", flush=True)
        line += 1
        time.sleep(0.02)
    data["evaluation_intervals"] = {"f1": {"Name": [0.7, 0.8]}}
    job_metadata_client.update_metadata(data)
    return {"rows": 40}

def hostile(job_metadata_client, **others):
    job_metadata_client.update_message(HOSTILE)
    points = [{"step": step, "loss": 1 / step, "metrics": {HOSTILE: {HOSTILE: step}}} for step in (1, 2, 3)]
    metrics = {HOSTILE: {HOSTILE: 0.5, "text": HOSTILE}}
    job_metadata_client.update_metadata({"history": points, "evaluation_results": metrics, "progress": float("nan")})
    os.write(1, HOSTILE.encode(errors="replace") + b"\xff\xfe\r overwritten \x1b[31m\x00\n")
    print(HOSTILE)
    raise ValueError(HOSTILE)
'''

FILES = {"package.json": "{}", f"{PACKAGE}/__init__.py": "", f"{PACKAGE}/training.py": TRAINING}
FOLDER = "acme/portal/fs/Instabase Drive/code"
