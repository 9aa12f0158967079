"""What of the user's environment training and serving may see."""

import pytest

from pytest_ibmodels.sandbox.execution.child import clean_environment


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PATH", "/bin"),
        ("SSL_CERT_FILE", "/etc/ca.pem"),
        ("SSL_CERT_DIR", "/etc/ca"),
        ("XDG_CACHE_HOME", "/cache"),
        ("OMP_WAIT_POLICY", "PASSIVE"),
        ("OMP_NUM_THREADS", "1"),
        ("MKL_NUM_THREADS", "1"),
        ("MKL_DYNAMIC", "FALSE"),
        ("HF_HOME", "/models"),
        ("TRANSFORMERS_OFFLINE", "1"),
        ("TOKENIZERS_PARALLELISM", "false"),
        ("HTTP_PROXY", "http://proxy:3128"),
        ("https_proxy", "http://proxy:3128"),
        ("no_proxy", "localhost,.example.org"),
    ],
)
def test_kept(name: str, value: str) -> None:
    environ = {name: value}
    clean_environment(environ)
    assert environ == {name: value}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_TOKEN", "hf_made-up"),
        ("HF_TOKEN_PATH", "/home/me/token"),
        ("HF_hub_token", "hf_made-up"),
        ("TRANSFORMERS_API_KEY", "made-up"),
        ("OMP_SECRET", "made-up"),
        ("MKL_PASSWORD", "made-up"),
        ("LC_KEY", "made-up"),
        ("IB_API_TOKEN", "made-up"),
        ("EDITOR", "vi"),
        ("HTTP_PROXY", "http://me:hunter2@proxy:3128"),
        ("https_proxy", "me:hunter2@proxy:3128"),
        ("ALL_PROXY", "http://proxy:3128"),
    ],
)
def test_dropped(name: str, value: str) -> None:
    environ = {name: value, "HOME": "/home/me"}
    clean_environment(environ)
    assert environ == {"HOME": "/home/me"}
