"""The commands of `scratchrnn`, one file each: `add` declares its options, `run` does it and returns an exit code."""
