"""A model as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ._arrays import Array
from .layers.base import Layer


def table(
    title: str, layers: Sequence[Layer], prefixes: Sequence[str], parameters: Sequence[Mapping[str, Array]]
) -> str:
    """Title, one line for each parameter (for each layer without any), and the total."""
    rows = [("layer", "output", "parameter", "shape", "count")]
    for layer, prefix, own in zip(layers, prefixes, parameters, strict=True):
        name, output = layer_name(layer), f"(N, T, {layer.output_size})"
        for symbol, array in own.items():
            rows.append((name, output, prefix + symbol, str(array.shape), f"{array.size:,}"))
            name = output = ""
        if not own:
            rows.append((name, output, "", "", "0"))
    total = sum(array.size for own in parameters for array in own.values())
    rows.append(("total, all of them trained", "", "", "", f"{total:,}"))
    widths = [max(len(row[i]) for row in rows[:-1]) for i in range(4)]
    left = sum(widths) + 2 * len(widths)  # of the counts
    width = max(len(row[4]) for row in rows)
    lines = [title]
    for *cells, count in rows[:-1]:
        lines.append(
            "  " + "".join(f"{cell:<{w}}  " for cell, w in zip(cells, widths, strict=True)) + f"{count:>{width}}"
        )
    lines.append(f"  {rows[-1][0]:<{left}}{rows[-1][4]:>{width}}")
    return "\n".join(lines)


def layer_name(layer: Any) -> str:
    """Type, sizes, and what else was asked for: "RNN(3 → 12, num_layers=2, bidirectional)"."""
    said: list[str] = [f"{layer.input_size} → {layer.output_size}"]
    for option, default in (
        ("num_layers", 1),
        ("bidirectional", False),
        ("nonlinearity", "tanh"),
        ("dropout", 0),
        ("p", 0),
    ):
        value = getattr(layer, option, default)
        if value != default:
            said.append({"bidirectional": option, "nonlinearity": str(value)}.get(option, f"{option}={value}"))
    return f"{type(layer).__name__}({', '.join(said)})"
