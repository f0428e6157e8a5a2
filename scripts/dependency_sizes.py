"""How many megabytes each locked package takes here, and under which licence it comes."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path


def main() -> None:
    """Print a line for each installed distribution, largest first."""
    rows: list[tuple[int, str, str]] = []
    for distribution in metadata.distributions():
        paths = [Path(str(distribution.locate_file(each))) for each in distribution.files or ()]
        size = sum(path.stat().st_size for path in paths if path.is_file())
        about = distribution.metadata.json
        classifiers = [each for each in about.get("classifier", []) if each.startswith("License")]
        licence = str(about.get("license_expression") or next(iter(classifiers), "see the package"))
        rows.append((size, f"{distribution.name} {distribution.version}", licence.rpartition(" :: ")[2]))
    for size, name, licence in sorted(rows, reverse=True):
        print(f"{size / 1e6:8.1f} MB  {name:32} {licence}")


if __name__ == "__main__":
    main()
