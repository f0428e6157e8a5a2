"""Where the published vectors are: in `shared/vectors` beside the checkout, read in place."""

import os
from pathlib import Path

import pytest

_VECTORS = Path(__file__).resolve().parents[2].parent / "shared" / "vectors"


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of published vectors; its SOURCES.md says what is what."""
    if not _VECTORS.is_dir():
        reason = "published vectors are not beside this checkout (expected ../shared/vectors)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return _VECTORS
