"""`scaling new NAME`: write a study file of your own, with every choice explained, into ./conf/study/."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from scaling.records.storage import make_folder, slug, write_once

# What YAML or Hydra does not read as text: 2025_01_15, 1e5, no.
NOT_TEXT = re.compile(
    r"(?i)[-+]?[\d_.]+(e[-+]?\d+)?|0[xob][\da-f_]+|y|n|yes|no|on|off|true|false|null|nan|inf"
)

TEMPLATE = """\
# @package _global_
# A study: a grid of runs, and the question that they answer. The line above has to stay the first one.
#
#   scaling plan study={name}      sizes, FLOPs and time; trains nothing
#   scaling run study={name}       trains what has no record yet; stop it at any time, run it again
#   scaling report runs/{name}     laws, figures and tables
#
# Every key, with type, unit and default: docs/reference/config.md, or scaling plan study={name} --cfg job.

name: "{name}"
question: How does the loss fall with model size and data?

# What to train on. Without `corpus`: the Python source code found on this machine, here as raw bytes.
data: {{vocab: 256, limit_bytes: 3e7}}
# data: {{corpus: text, paths: ["books/**/*.txt"], vocab: 1024}}   # your text and a tokenizer

# How long to train, in one of three ways; a list gives that many runs of each model, branches of one trunk.
budget: {{tokens: [2e5, 5e5, 1e6, 2e6]}}
# budget: {{tokens_per_param: [5, 20, 80]}}
# budget: {{compute: [1e12, 4e12]}}                 # FLOP, counted

# The recipe. What is left out keeps its default.
training: {{sequences: 4}}
# training: {{sequences: 4, weight_decay: 0.01, schedule: cosine, learning_rate: 3e-3}}

# max_flops: 1e14     # of the whole study: only the cheapest trunks that fit are trained
# max_hours: 1        # of one command, which then saves and stops; the same command continues

# The grid: every combination of the comma-separated values. Further keys are further axes.
hydra:
  sweeper:
    params:
      model.params: "5e3,1e4,2e4,4e4,8e4,1.6e5"    # non-embedding parameters
      # seed: "0,1,2"
      # model: "decoder,lstm"
      # training.weight_decay: "0.01,0.1"
"""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling new", description=__doc__)
    parser.add_argument("name", help="name of the study: letters, digits, dot, dash and underscore")
    asked = parser.parse_args(arguments)
    path = write_study(asked.name)
    print(f"{path}\nnext: edit it, then scaling plan study={asked.name}")
    return 0


def write_study(name: str) -> Path:
    """Write conf/study/NAME.yaml in the working directory; returns its path.

    Raises:
        ValueError: for a name that cannot be a folder's.
        FileExistsError: where there is such a study already, here or among those that come with the harness.
    """
    if not name or slug(name) != name:
        raise ValueError(f"{name!r} cannot be a folder's name as it stands. Try: scaling new {slug(name)}")
    if NOT_TEXT.fullmatch(name):
        raise ValueError(
            f"{name!r} would be read as a number or a truth value. Try: scaling new study-{name}"
        )
    ours = Path(__file__).resolve().parents[2]
    if any((folder / "study" / f"{name}.yaml").exists() for folder in (ours / "conf", ours / "scaling/conf")):
        raise FileExistsError(
            f"study {name} comes with the harness: scaling plan study={name}. Take another name."
        )
    folder = Path("conf")
    for part in (folder, folder / "study"):
        make_folder(part)
    path = folder / "study" / f"{name}.yaml"
    if not write_once(path, TEMPLATE.format(name=name).encode()):
        raise FileExistsError(f"{path}: already exists. Edit it, or choose another name.")
    return path
