"""The site builds without a warning, and every page has its place in the sidebar. Needs the extra `docs`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, name_of


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    site = tmp_path / "site"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-c", "docs", "-d", str(tmp_path), ".", str(site)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "docs/index.html" in (site / "index.html").read_text()
    for page in PAGES:
        assert (site / name_of(page)).with_suffix(".html").is_file()


def test_every_page_is_in_the_sidebar_and_in_the_index() -> None:
    settings: dict[str, object] = {"__file__": str(ROOT / "docs" / "conf.py")}
    path = list(sys.path)
    exec((ROOT / "docs" / "conf.py").read_text(), settings)
    sys.path[:] = path
    sidebar = settings["SIDEBAR"]
    assert isinstance(sidebar, dict)
    listed = {f"docs/{page}.md" for pages in sidebar.values() for page in pages}
    there = {name_of(page) for page in PAGES if name_of(page).startswith("docs/")}
    assert listed == there - {"docs/index.md"}
    index = (ROOT / "docs" / "index.md").read_text()
    missing = [page for page in listed if f"]({page.removeprefix('docs/')})" not in index]
    assert not missing
