"""Bootstrap replicates: how they are drawn, how wide they spread, and quantiles of them."""
