"""What every training process needs, imported once in the fork server: a fork then starts in 0.1 s, not 5."""

import torch._dynamo  # noqa: F401  counting on the meta device imports it

import scaling.training.train  # noqa: F401
