"""What every training process needs, imported once in the fork server: a fork then starts in 0.1 s, not 5."""

import warnings

import torch._dynamo  # noqa: F401  counting on the meta device imports it

import scaling.training.train  # noqa: F401

# A fork runs a program of `python -m` again under another name: that it is loaded already is what we want.
warnings.filterwarnings("ignore", ".* found in sys.modules after import of package", RuntimeWarning)
