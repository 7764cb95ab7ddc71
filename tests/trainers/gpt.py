"""A small GPT in one file, in the way such scripts are written: arguments, a loop, checkpoints, prints.

It knows nothing about what drives it. Killed, it continues from the last checkpoint in its output folder.
"""

import argparse
import json
import math
import os

import torch
import torch.nn as nn
import torch.nn.functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--n_layer", type=int, default=2)
parser.add_argument("--n_head", type=int, default=2)
parser.add_argument("--n_embd", type=int, default=32)
parser.add_argument("--block_size", type=int, default=32)
parser.add_argument("--batch_size", type=int, default=8)
parser.add_argument("--learning_rate", type=float, default=1e-2)
parser.add_argument("--max_iters", type=int, default=100)
parser.add_argument("--eval_iters", type=int, default=8)
parser.add_argument("--save_every", type=int, default=10)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out_dir", default="out")
args = parser.parse_args()

torch.manual_seed(args.seed)
text = "".join(f"{a} plus {b} is {a + b}; " for a in range(40) for b in range(40))
chars = sorted(set(text))
data = torch.tensor([chars.index(c) for c in text])
split = int(0.9 * len(data))
train_data, val_data = data[:split], data[split:]


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width, bias=False), nn.GELU(), nn.Linear(4 * width, width, bias=False)
        )

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (
            part.view(b, t, self.heads, c // self.heads).transpose(1, 2)
            for part in self.qkv(self.norm1(x)).chunk(3, dim=-1)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(len(chars), args.n_embd)
        self.places = nn.Embedding(args.block_size, args.n_embd)
        self.blocks = nn.Sequential(*(Block(args.n_embd, args.n_head) for _ in range(args.n_layer)))
        self.norm = nn.LayerNorm(args.n_embd)
        self.head = nn.Linear(args.n_embd, len(chars), bias=False)

    def forward(self, ids, targets):
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        logits = self.head(self.norm(self.blocks(x)))
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def get_batch(source, generator):
    starts = torch.randint(len(source) - args.block_size - 1, (args.batch_size,), generator=generator)
    x = torch.stack([source[i : i + args.block_size] for i in starts])
    return x, torch.stack([source[i + 1 : i + 1 + args.block_size] for i in starts])


def learning_rate(step):
    return args.learning_rate * 0.5 * (1 + math.cos(math.pi * step / args.max_iters))


@torch.no_grad()
def estimate_loss():
    generator = torch.Generator().manual_seed(1234)
    return (
        sum(float(model(*get_batch(val_data, generator))) for _ in range(args.eval_iters)) / args.eval_iters
    )


model = GPT()
optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate, betas=(0.9, 0.95))
print(f"number of parameters: {sum(p.numel() for p in model.parameters()):,}")

os.makedirs(args.out_dir, exist_ok=True)
checkpoint = os.path.join(args.out_dir, "ckpt.pt")
start = 0
if os.path.exists(checkpoint):
    state = torch.load(checkpoint, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    start = state["step"]
    print(f"resuming from {checkpoint} at step {start}")

for step in range(start, args.max_iters):
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step)
    loss = model(*get_batch(train_data, torch.Generator().manual_seed(args.seed * 1_000_003 + step)))
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if (step + 1) % args.save_every == 0:
        print(f"iter {step + 1}: loss {float(loss.detach()):.4f}", flush=True)
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
        torch.save(state, checkpoint + ".tmp")
        os.replace(checkpoint + ".tmp", checkpoint)

val_loss = estimate_loss()
print(f"val loss {val_loss:.4f}")
with open(os.path.join(args.out_dir, "result.json"), "w") as file:
    json.dump({"val_loss": val_loss, "n_params": sum(p.numel() for p in model.blocks.parameters())}, file)
