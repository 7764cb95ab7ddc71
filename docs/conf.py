"""The site that `make docs` builds: the pages of docs/, the README and the kept studies, as they lie here."""

from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

project = "scaling-harness"
release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**", "experiments/*/README.md"]
exclude_patterns = [".*", "runs", "site", "docs/conf.py"]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "description"
html_theme = "furo"
html_title = f"{project} {release}"
html_copy_source = False

# The sidebar. A page that is in no list is a warning, and so an error.
SIDEBAR = {
    "Start": ["tutorial", "guide", "glossary", "how-many-runs"],
    "Bring your own": [
        *("tables", "your-text", "your-model", "your-optimizer", "your-trainer", "your-task", "your-cluster"),
        *("wandb", "notebook"),
    ],
    "Decide": ["compare", "big-run", "autopilot", "watch", "report", "troubleshooting"],
    "How it works": ["laws", "forecasts", "solver", "reliability"],
    "Reference": [
        f"reference/{name}" for name in ("config", "commands", "columns", "laws", "environment", "api")
    ],
}
KEPT = sorted(path.parent.name for path in ROOT.glob("experiments/*/README.md"))
PUBLIC = ("analysis", "scaling")  # packages whose __all__ the page of Python documents


def add_directives(app: object, name: str, source: list[str]) -> None:
    """Append what only the site has, so that the pages stay plain Markdown elsewhere."""
    if name == root_doc:
        lists = {title: [f"/docs/{page}" for page in pages] for title, pages in SIDEBAR.items()}
        lists["Kept studies"] = [f"{study} </experiments/{study}/README>" for study in KEPT]
        lists["Project"] = ["/README", "/CHANGELOG", "/CONTRIBUTING"]
        for title, pages in lists.items():
            source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n" + "\n".join(pages) + "\n```\n"
    if name == "docs/reference/api":
        for package in PUBLIC:
            source[0] += f"\n## {package} in full\n\n```{{eval-rst}}\n"
            for public in sorted(importlib.import_module(package).__all__):
                found = getattr(importlib.import_module(package), public)
                kind = "autoclass" if isinstance(found, type) else "autofunction"
                members = "\n   :members:" if isinstance(found, type) else ""
                source[0] += f".. {kind}:: {package}.{public}{members}\n\n"
            source[0] += "```\n"


def add_front(app: Any, error: Exception | None) -> None:
    """Lead the folder's own address to the front page."""
    if error is None:
        front = "docs/index.html"
        page = f'<meta http-equiv="refresh" content="0; url={front}"><a href="{front}">Documentation</a>'
        (Path(app.outdir) / "index.html").write_text(page)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_directives)
    app.connect("build-finished", add_front)
