"""A training script that trains nothing, in a few milliseconds: what tests of the harness drive.

Its loss is a law of its size and steps, so that a fit is known. It saves every few steps, continues from
there, and misbehaves as it is told.
"""

import argparse
import json
import os
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("--n_layer", type=int, default=2)
parser.add_argument("--n_head", type=int, default=2)
parser.add_argument("--n_embd", type=int, default=64)
parser.add_argument("--max_iters", default="100")  # of branches a list
parser.add_argument("--learning_rate", type=float, default=1e-3)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out_dir", required=True)
parser.add_argument("--optimizer", default="adamw")
parser.add_argument("--pause", type=float, default=0.0)  # seconds per step
parser.add_argument("--fail", default="")
parser.add_argument("--resume", action="store_true")
asked = parser.parse_args()

params = 12 * asked.n_layer * asked.n_embd**2
saved = os.path.join(asked.out_dir, "ckpt.json")
step = 0
if os.path.exists(saved):
    with open(saved) as file:
        step = json.load(file)["step"]
    print(f"resuming from step {step}")
print(f"{params:,} parameters, seed {asked.seed}", flush=True)


def loss_at(step):
    arm = 1.03 if asked.optimizer == "adamw" else 1.0
    return arm * (1.7 + 40 * params**-0.34 + 30 * (1024 * step) ** -0.33) + 1e-4 * asked.seed


def write(name, text):
    with open(os.path.join(asked.out_dir, name + ".new"), "w") as file:
        file.write(text)
    os.replace(file.name, os.path.join(asked.out_dir, name))


if asked.fail == "exit":
    print("RuntimeError: no such GPU")
    sys.exit(3)
if asked.fail == "once" and not os.path.exists(saved):
    write("ckpt.json", json.dumps({"step": 1}))
    os.abort()
if asked.fail == "hang":
    import subprocess

    child = subprocess.Popen(["sleep", "600"], start_new_session=True)  # as the workers of torchrun
    write("pids.json", json.dumps([os.getpid(), child.pid]))
    time.sleep(600)

wanted = [int(word) for word in asked.max_iters.split(",")]
while step < max(wanted):
    step += 1
    time.sleep(asked.pause)
    if step % 5 == 0:
        print(f"iter {step}: loss {loss_at(step):.4f}", flush=True)
        write("ckpt.json", json.dumps({"step": step}))
rows = [{"step": n, "val": {"loss": loss_at(n)}, "val_loss": loss_at(n), "n_params": params} for n in wanted]
if asked.fail == "nan":
    rows[-1]["val"]["loss"] = float("nan")
if asked.fail == "text":
    rows[-1]["val"]["loss"] = "low"
if asked.fail != "silent":
    write("result.json", json.dumps(rows if len(rows) > 1 else rows[0]))
    write("result.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write("result.csv", "step,ppl\n" + "".join(f"{n},{2.718281828459045 ** loss_at(n)!r}\n" for n in wanted))
if asked.fail == "noise":
    print("x" * 99 + "\n", end="", flush=True)
    for _ in range(60000):
        print("y" * 99)
