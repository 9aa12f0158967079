"""Code that the tests push: training functions that behave in all the ways training code does, and a model package."""

import json

PACKAGE = "trainable"

TRAINING = '''
import json, os, signal, subprocess, sys, threading, time

def well(file_client, username, job_metadata_client, save_path, model_name="", **others):
    job_metadata_client.update_message("Model training in progress.")
    job_metadata_client.update_metadata({"progress": 0.5, "evaluation_results": {"f1": {"Name": float("nan")}}})
    file_client.write_file(save_path + "/evaluation.json", json.dumps(sorted(others)))
    print("WARNING: a line of the job", username)
    f1 = {"Name": 1.0, "Age": float("nan")}
    job_metadata_client.update_metadata({"progress": 1.0, "evaluation_results": {"f1": f1}})
    return {"model": model_name, "job": job_metadata_client.job_id}

def look_around(file_client, path, **others):
    from trainable import helper
    found = {"environ": dict(os.environ), "argv": sys.argv, "cwd": os.listdir("."), "helper": helper.WHERE,
             "exists": [file_client.exists(name) for name in (path, path + "/none", "a/b/c")],
             "names": file_client.list_dir(path), "torch": "torch" in sys.modules,
             "ibformers": "ibformers" in sys.modules,
             "group": os.getpgid(0) == os.getpid(), "niceness": os.nice(0)}
    try:
        file_client.read_file("docs/out/s2/none.ibocr")
    except FileNotFoundError as error:
        found["missing"] = str(error)
    return found

def files(file_client, path, **others):
    assert file_client.file_client is None
    with file_client.ibopen(path + "/text.txt", "w") as file:
        file.write("zw\\u00f6lf\\n")
    with file_client.ibopen(path + "/text.txt") as file:
        text = file.read()
    with file_client.ibopen(path + "/text.txt", "rb") as file:
        raw = file.read()
    file_client.write_file(path + "/bytes", raw)
    file_client.unzip(path + "/some.zip", path + "/unzipped", remove=True)
    try:
        file_client.write_file("acme/mounts/fs/Mounted/local/new", b"")
    except PermissionError as error:
        refused = str(error)
    return {"text": text, "bytes": len(raw), "names": file_client.list_dir(path), "refused": refused}

def fail(**others):
    _deeper()

def _deeper():
    raise RuntimeError("boom")

class DocumentError(ValueError):
    def __init__(self, text):
        super().__init__(text)
        self.user_message = "Document 'a.ibocr' is not JSON."

def fail_for_the_user(**others):
    raise DocumentError("line 1 column 1")

def leave(**others):
    sys.exit(3)

def drop_dead(**others):
    print("last words", flush=True)
    os._exit(4)

def segfault(**others):
    os.kill(os.getpid(), signal.SIGSEGV)

def report_what_is_not_json(job_metadata_client, **others):
    job_metadata_client.update_metadata({"evaluation_results": {"f1": {"Name": object()}}})

def report_odd_text(job_metadata_client, **others):
    job_metadata_client.update_message("odd \\ud800 \\0 text")
    job_metadata_client.update_metadata({"text \\ud800": "\\ud800"})
    raise ValueError("\\ud800")

def allocate(job_metadata_client, **others):
    held = []
    while True:
        held.append(b"x" * 2**24)
        time.sleep(0.005)

def sleep(job_metadata_client, **others):
    """With a child, a grandchild that has left the group, and a child of that whose parent has ended."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    apart = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    orphan = subprocess.run(["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!"], capture_output=True, text=True)
    job_metadata_client.update_metadata({"pids": [os.getpid(), child.pid, apart.pid, int(orphan.stdout)]})
    time.sleep(600)

def use_processes(**others):
    """What libraries of training code do: a server process, which is asked through a socket of a temporary folder."""
    import multiprocessing, tempfile
    with multiprocessing.Manager() as manager:
        squares = manager.list([number * number for number in (1, 2, 3)])
        return [list(squares), tempfile.gettempdir()]

def linger(**others):
    """Returns, but its process would not end by itself."""
    threading.Thread(target=time.sleep, args=(600,)).start()

def quick(job_metadata_client, number=0, **others):
    job_metadata_client.update_metadata({"pid": os.getpid(), "began": time.time()})
    time.sleep(0.3)
    return {"number": number, "ended": time.time()}
'''

MODEL = """
import json, os, time
import shared_library

class IbModel:
    def __init__(self, model_data_path=None, ibsdk=None):
        self.model_data_path, self.ibsdk = model_data_path, ibsdk

    def load(self):
        with open(os.path.join(self.model_data_path, "label.txt")) as file:
            self.label = file.read().strip()
        if self.label == "broken":
            raise RuntimeError("the weights do not fit")

    def run(self, request):
        assert request.input_raw_data.type == "ibdoc"
        assert request.context.username
        (record,) = json.loads(request.input_raw_data.data)
        text = record["text"]
        if "crash" in text:
            os._exit(5)
        if "raise" in text:
            raise ValueError("cannot read this")
        if "mistake" in text:
            error = ValueError("line 1 column 1")
            error.user_message = "The document is no invoice."
            raise error
        if "deep" in text:
            _dig(20)
        if "sleep" in text:
            time.sleep(600)
        entities, position = [], 0
        for word in text.split():
            start = text.index(word, position)
            position = start + len(word)
            label = "O" if word.isalpha() and word.islower() else self.label
            entities.append({"content": word, "label": label, "score": 0.5,
                             "start_index": start, "end_index": position})
        entities.reverse()
        return {"ner_result": {"entities": entities}, "pid": os.getpid(), "library": shared_library.WHERE}

    def cleanup(self):
        pass

def _dig(depth):
    if depth:
        _dig_on(depth)
    raise LookupError("nothing\\ndown here")

def _dig_on(depth):
    _dig(depth - 1)
"""


def training_package(where: str = "pushed") -> dict[str, str]:
    return {
        "package.json": "{}",
        f"{PACKAGE}/__init__.py": "",
        f"{PACKAGE}/training.py": TRAINING,
        f"{PACKAGE}/helper.py": f"WHERE = {where!r}",
        f"{PACKAGE}/broken.py": "def train(:\n",
        f"{PACKAGE}/importing.py": "import a_module_that_nobody_has\n\ndef train(**others): ...\n",
    }


def model_package(label: str) -> dict[str, str]:
    description = {"classpath": "mymodel.model.IbModel", "packages": ["src/py/mymodel", "src/py/ibformers/"]}
    return {
        "package.json": json.dumps(description),
        "src/py/mymodel/__init__.py": "",
        "src/py/mymodel/model.py": MODEL,
        "src/py/mymodel/model_data/label.txt": label,
        "src/py/ibformers/shared_library/__init__.py": "WHERE = __file__",
    }


def document(*lines: str) -> str:
    records = [{"text": "\n".join(lines), "lines": [[{"word": word} for word in line.split()] for line in lines]}]
    return json.dumps(records)
