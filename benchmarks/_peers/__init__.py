"""The tools beside which reroll is measured: how each is installed, asked to do the same job, and counted again."""
