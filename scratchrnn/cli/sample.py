"""`scratchrnn sample`: a trained text model writes on."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from ..checkpoint import read
from ..sampling import sample
from ..text import Vocabulary, read_text
from . import options, output

EPILOG = """\
Prints the prompt and what the model adds. "carried" reads the prompt once and carries the state from character to
character; "window" is the chapter's way: for each character it starts from a zero state and reads the last few again.

examples:
  scratchrnn sample --prompt "To be"
  scratchrnn sample --prompt "To be" --temperature 0
  scratchrnn sample --prompt "To be" --top-k 5
  scratchrnn sample --prompt-file start.txt --encoding gb18030 --drop-unknown
  scratchrnn sample --model text-output/model.npz --prompt "The " --length 500 --temperature 0.7 --seed 3
"""


def add(commands: Any) -> None:
    """Its options."""
    parser = options.command(commands, "sample", run, "continue a prompt with a saved text model", epilog=EPILOG)
    default = Path("text-output") / output.MODEL
    parser.add_argument(
        "--model", type=options.path, default=default, metavar="FILE", help="written by scratchrnn train text"
    )
    prompt = parser.add_mutually_exclusive_group(required=True)
    prompt.add_argument("--prompt", metavar="TEXT", help="what to write on from")
    help = "a text file to write on from instead; a line end at its end is left out"
    prompt.add_argument("--prompt-file", type=options.path, metavar="FILE", help=help)
    options.add_encoding(parser, "--prompt-file")
    options.add_drop_unknown(parser)
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
    parser.set_defaults(parser=parser)


def run(arguments: Namespace) -> int:
    """Print the text."""
    encoding = options.text_encoding(arguments, "--prompt-file")
    options.use_threads(arguments)
    if not arguments.model.exists():
        raise FileNotFoundError(f"there is no {arguments.model}; make one with scratchrnn train text --file FILE")
    model, _, extra = read(arguments.model, backend=arguments.backend)
    if "vocabulary" not in extra:
        raise ValueError(f"{arguments.model} holds no text model; make one with scratchrnn train text --file FILE")
    vocabulary = Vocabulary.from_list(extra["vocabulary"])
    text = sample(
        model,
        vocabulary,
        _prompt(arguments, vocabulary, encoding),
        arguments.length,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        mode=arguments.mode,
        window=arguments.window,
        seed=arguments.seed,
    )
    print(text)
    return 0


def _prompt(arguments: Namespace, vocabulary: Vocabulary, encoding: str) -> str:
    """The prompt, from the command line or a file, without the characters that are to be left out.

    Raises ValueError where nothing is left.
    """
    prompt = arguments.prompt
    if prompt is None:
        prompt = read_text(arguments.prompt_file, encoding).removesuffix("\n")
    if not arguments.drop_unknown:
        return prompt
    known = vocabulary.decode(vocabulary.encode(prompt, unknown="drop"))
    if prompt and not known:
        raise ValueError(
            f"the model in {arguments.model} knows none of the {len(prompt)} characters of the prompt; it knows "
            f"{vocabulary.characters[:40]!r}{'' if len(vocabulary) <= 40 else ' and others'}"
        )
    if len(known) < len(prompt):
        output.tell(f"scratchrnn: left out {len(prompt) - len(known)} of {len(prompt)} characters of the prompt")
    return known
