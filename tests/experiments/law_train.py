"""A training script that trains nothing: its loss is a law of size and tokens, with noise by its seed.

law_train.py PARAMS TOKENS SEED FOLDER: adds a line to FOLDER/ended each time that it ends.
"""

import json
import math
import os
import random
import sys

params, tokens, seed, folder = float(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:]
noise = random.Random(f"{params:g} {tokens:g} {seed}").gauss(0, 0.004)
loss = (1.69 + 406.4 * params**-0.34 + 410.7 * tokens**-0.28) * math.exp(noise)
with open(os.path.join(folder, "result.new"), "w") as file:
    json.dump({"loss": loss}, file)
os.replace(file.name, os.path.join(folder, "result.json"))
with open(os.path.join(folder, "ended"), "a") as file:
    file.write("once\n")
