"""The commands of `scratchrnn`, one file each: `add` tells argparse about it, `run` does it and returns an exit code."""
