"""What is installed: typed, with nothing loaded that is not used, and a word about extras that are missing."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import subprocess
import sys

import mintmark


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_it_says_that_it_is_typed_and_which_version_it_is() -> None:
    assert (importlib.resources.files("mintmark") / "py.typed").is_file()
    assert importlib.metadata.version("mintmark") == mintmark.__version__


def test_it_brings_its_licence_and_a_page_that_reads_well_elsewhere() -> None:
    about = importlib.metadata.metadata("mintmark")
    assert about["License-Expression"] == "Apache-2.0"
    assert [path.name for path in importlib.metadata.files("mintmark") or () if path.name == "LICENSE"] == ["LICENSE"]
    # On PyPI there is nothing beside the page that a link could lead to.
    assert "```python" in about.get_payload()
    assert "](.." not in about.get_payload()


def test_everything_that_it_names_is_there() -> None:
    assert [name for name in mintmark.__all__ if not hasattr(mintmark, name)] == []


def test_the_core_loads_no_framework() -> None:
    loaded = run("import mintmark, sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))").split()
    assert "httpx" in loaded
    assert not {"fastapi", "starlette", "django", "uvicorn", "http_message_signatures"} & set(loaded)


def test_a_missing_extra_is_named() -> None:
    code = """
import importlib, sys
for name in ("fastapi", "django", "uvicorn", "http_message_signatures"):
    sys.modules[name] = None
for module in ("fastapi", "django", "uvicorn", "signatures", "signing"):
    try:
        importlib.import_module(f"mintmark.{module}")
    except ImportError as error:
        print(error)
"""
    said = run(code)
    assert [said.count(f"pip install 'mintmark[{extra}]'") for extra in ("fastapi", "django", "uvicorn")] == [1, 1, 1]
    assert said.count("pip install 'mintmark[signatures]'") == 2
