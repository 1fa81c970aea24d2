"""`scratchrnn sample`: a trained text model writes on."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from ..checkpoint import read
from ..sampling import sample
from ..text import Vocabulary
from . import options, output

EPILOG = """\
Prints the prompt and what the model adds. "carried" reads the prompt once and carries the state from character to
character; "window" is the chapter's way: for each character it starts from a zero state and reads the last few again.

examples:
  scratchrnn sample --prompt "To be"
  scratchrnn sample --prompt "To be" --temperature 0
  scratchrnn sample --prompt "To be" --top-k 5
  scratchrnn sample --model text-output/model.npz --prompt "The " --length 500 --temperature 0.7 --seed 3
"""


def add(commands: Any) -> None:
    """Its options."""
    parser = options.command(commands, "sample", run, "continue a prompt with a saved text model", epilog=EPILOG)
    default = Path("text-output") / output.MODEL
    parser.add_argument("--model", type=Path, default=default, metavar="FILE", help="written by scratchrnn train text")
    parser.add_argument("--prompt", required=True, metavar="TEXT", help="what to write on from")
    parser.add_argument("--length", type=options.count, default=200, metavar="N", help="characters to add")
    help = "below 1 likely characters become likelier still, above 1 all become alike; 0 takes the likeliest"
    parser.add_argument("--temperature", type=options.not_negative, default=1.0, metavar="X", help=help)
    help = "draw from the K likeliest characters alone (default: from all)"
    parser.add_argument("--top-k", type=options.count, metavar="K", help=help)
    parser.add_argument("--mode", choices=["carried", "window"], default="carried", help="how the past is read")
    help = "characters that mode window reads (default: as many as the prompt has)"
    parser.add_argument("--window", type=options.count, metavar="N", help=help)
    parser.add_argument("--seed", type=options.seed, default=0, metavar="N", help="of the draws")
    options.add_machine(parser, dtype=None)


def run(arguments: Namespace) -> int:
    """Print the text."""
    options.use_threads(arguments)
    if not arguments.model.exists():
        raise FileNotFoundError(f"there is no {arguments.model}; make one with scratchrnn train text --file FILE")
    model, _, extra = read(arguments.model, backend=arguments.backend)
    if "vocabulary" not in extra:
        raise ValueError(f"{arguments.model} holds no text model; make one with scratchrnn train text --file FILE")
    text = sample(
        model,
        Vocabulary.from_list(extra["vocabulary"]),
        arguments.prompt,
        arguments.length,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        mode=arguments.mode,
        window=arguments.window,
        seed=arguments.seed,
    )
    print(text)
    return 0
