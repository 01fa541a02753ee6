"""What is installed: typed, with nothing loaded that is not used, and a word about extras that are missing."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import subprocess
import sys

import pytest

import mintmark


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_it_says_that_it_is_typed_and_which_version_it_is() -> None:
    assert (importlib.resources.files("mintmark") / "py.typed").is_file()
    assert importlib.metadata.version("mintmark") == mintmark.__version__


def test_everything_that_it_names_is_there() -> None:
    assert [name for name in mintmark.__all__ if not hasattr(mintmark, name)] == []


def test_the_core_loads_no_framework() -> None:
    loaded = run("import mintmark, sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))").split()
    assert "httpx" in loaded
    assert not {"fastapi", "starlette", "django", "uvicorn", "http_message_signatures"} & set(loaded)


@pytest.mark.parametrize(
    ("missing", "module", "extra"),
    [
        ("fastapi", "fastapi", "fastapi"),
        ("django", "django", "django"),
        ("uvicorn", "uvicorn", "uvicorn"),
        ("http_message_signatures", "signatures", "signatures"),
        ("http_message_signatures", "signing", "signatures"),
    ],
)
def test_a_missing_extra_is_named(missing: str, module: str, extra: str) -> None:
    said = run(f"import sys; sys.modules[{missing!r}] = None; import mintmark.{module}")
    assert f"pip install 'mintmark[{extra}]'" in said
