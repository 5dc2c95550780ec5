"""The calls of torch, in families: how each lowers, how it converts, and what to use instead; `table` has them all."""
