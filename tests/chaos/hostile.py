"""What an enemy would write, wherever it is let. CANARY: the path of a file that must not appear."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

TARGETS: list[dict[str, Any]] = [
    {"_target_": "os.system", "_args_": ["touch CANARY"]},
    {"_target_": "subprocess.check_call", "args": ["touch", "CANARY"]},
    {"_target_": "pathlib.Path.touch", "self": {"_target_": "pathlib.Path", "_args_": ["CANARY"]}},
    {"_target_": "builtins.open", "file": "CANARY", "mode": "w"},
    {"_target_": "builtins.exec", "_args_": ["open('CANARY', 'w')"]},
    {"_target_": "builtins.eval", "_args_": ["open('CANARY', 'w')"]},
    {"_target_": "torch.load", "f": "CANARY.pt", "weights_only": False},
    {"_target_": "hydra.utils.call", "config": {"_target_": "os.mknod", "path": "CANARY"}},
    {"_target_": "shutil.copy", "src": "/etc/hostname", "dst": "CANARY"},
    {"_partial_": True, "_target_": "os.mknod", "path": "CANARY"},
]
TEXTS = [
    "!!python/object/apply:os.system ['touch CANARY']",
    "!!python/object/new:os.mknod ['CANARY']",
    "${oc.create:{_target_: os.mknod, path: CANARY}}",
    "${oc.decode:__import__('os').mknod('CANARY')}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ cycler.__init__.__globals__.os.mknod('CANARY') }}",
    "{% import os %}{{ os.mknod('CANARY') }}",
    "$(touch CANARY)",
    "`touch CANARY`",
    "; touch CANARY #",
    "| touch CANARY",
    "__import__('os').mknod('CANARY')",
    "\\write18{touch CANARY}",
]
NAMES = [
    "..",
    ".",
    "",
    "/",
    "//",
    "../x",
    "../../../../etc/cron.d/x",
    "/etc/passwd",
    "a/../../b",
    "a/b",
    "./a",
    "a/.",
    "~",
    "~root/x",
    "$HOME/x",
    "${oc.env:HOME}",
    "a\\..\\b",
    "C:\\x",
    "\\\\server\\x",
    "a\0b",
    "a\nb",
    "a\rb",
    "a\tb",
    " ",
    " a ",
    "-rf",
    "--help",
    ".hidden",
    ".tmp-1-a",
    "lock",
    "plan.json",
    "CON",
    "a" * 300,
    "ü" * 200,
    "日本語",
    "\u202egnp.exe",
    "a:b",
    "a*b?",
    "a|b;c&d",
    "`id`",
    "$(id)",
    "<b>x</b>",
    "'; DROP TABLE runs; --",
    "\ud800",
    "%2e%2e%2fx",
    "..%00/x",
    "a'b\"c",
    "\u2025/x",
    "\uff0e\uff0e/x",
]
MARKUP = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "</title><script>x</script>",
    '"><script>alert(1)</script>',
    "' onmouseover='alert(1)",
    "<iframe src=javascript:alert(1)>",
    "<a href=javascript:x>",
    "</style><script>x</script>",
    "<!--<script>",
    "]]><script>x</script>",
    "<body onload=alert(1)>",
    "<math><mtext></form>",
    "<base href=//evil.example>",
    "<link rel=stylesheet href=//evil>",
    "<meta http-equiv=refresh content=0>",
    "&lt;script&gt;",
    "<object data=x>",
    "<form action=//evil>",
    "</svg><script>x</script>",
    "<embed src=//evil>",
    "{{7*7}}",
    "<style>@import'//evil'</style>",
    "javascript:alert(1)",
]
FORMULAS = [
    "=1+1",
    "=cmd|'/C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    '=HYPERLINK("//evil")',
    "=IMPORTXML(1)",
    "-cmd",
    "+cmd",
    "@cmd",
    '=""',
    "\t+1",
]


class Evil:
    """Makes the canary when it is unpickled."""

    def __init__(self, path: Path, how: str = "mknod") -> None:
        self.path, self.how = path, how

    def __reduce__(self) -> tuple[Any, ...]:
        if self.how == "mknod":
            return os.mknod, (str(self.path),)
        return eval, (f"__import__('os').mknod({str(self.path)!r})",)


def pickles(path: Path) -> dict[str, bytes]:
    evil, found = Evil(path), {}
    for name, legacy in (("zip", True), ("legacy", False)):
        file = io.BytesIO()
        torch.save({"model": evil, "step": 1}, file, _use_new_zipfile_serialization=legacy)
        found[name] = file.getvalue()
    found["plain"] = pickle.dumps({"model": Evil(path, "eval")}, protocol=2)
    found["protocol 0"] = pickle.dumps(evil, protocol=0)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(evil, protocol=2))
        archive.writestr("archive/version", "3")
    found["by hand"] = file.getvalue()
    return found
