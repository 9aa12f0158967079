"""Training code that the tests of the portal push."""

PACKAGE = "shown"
HOSTILE = "<script>document.title='taken over'</script>\"'><img src=x onerror=alert(1)>"
HOSTILE_NAMES = (
    HOSTILE.replace("/", "\u2215"),
    "\"'><img src=x onerror=alert(1)>",
    "\u202egnp.exe",
    "%2e%2e",
    "%2e%2e%2f%2e%2e",
    "a+b c&d=e#f?g;h.txt",
    "שלום.json",
    "x" * 255,
)
"""Names that a file system takes."""
TRAINING = r'''
import math, os, time

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

def wait(job_metadata_client, model_name, epochs, **others):
    """Reports what a training of some minutes does, all at once, and waits."""
    data = {"history": [], "evaluations": []}
    best = {"Total": 0.93, "Date": 0.97, "Name": 0.82}
    print("INFO 160 documents, 40 of them test", flush=True)
    for step in range(1, 401):
        epoch, loss = step / 50, 1.8 * math.exp(-step / 100) + 0.03 * math.cos(step)
        data["history"].append({"step": step, "epoch": epoch, "loss": loss})
        if step % 50 == 0:
            f1 = {name: top * (1 - math.exp(-epoch / 2)) for name, top in best.items()}
            data["evaluations"].append({"step": step, "epoch": epoch, "metrics": {"f1": f1}})
            data["evaluation_results"] = {"f1": f1}
            data["evaluation_intervals"] = {"f1": {name: [f1[name] - 0.04, f1[name] + 0.03] for name in f1}}
            print(f"INFO epoch {epoch:g} of {epochs}: f1 of Total {f1['Total']:.3f}", flush=True)
    print("WARNING 2 documents have no label `Date`", flush=True)
    data["progress"] = 0.8
    job_metadata_client.update_metadata(data)
    job_metadata_client.update_message("Epoch 8 of 10")
    time.sleep(600)

def talk(mebibytes, **others):
    """Writes a long log, with an error in its midst."""
    line = 0
    for part in range(mebibytes):
        os.write(1, "".join(f"line {line + n} of many: loss 0.12345 {'.' * 80}\n" for n in range(8000)).encode())
        line += 8000
        if part == mebibytes // 2:
            print("ERROR: row 17 has no label", flush=True)
    print("the last line", flush=True)

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
