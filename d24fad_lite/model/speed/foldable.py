"""Which batch norms of a network may move into the convolution before them: found out by watching one pass.

Reading it off the order of the modules would trust every author of a network to call them in that order, once, and to
use a convolution's result for nothing else. One pass under a dispatch mode shows the operations themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

Convolution = nn.Conv2d | nn.ConvTranspose2d
NORMS = (nn.BatchNorm2d, BatchNormAct2d)  # these classes exactly: what a subclass adds is not known


def norms_of(network: nn.Module) -> list[nn.BatchNorm2d]:
    """The batch norms with statistics, of the classes whose pass is known."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d) and type(m) in NORMS]
    return [norm for norm in norms if norm.running_var is not None]


def foldable_pairs(network: nn.Module, run: Callable[[], Any]) -> tuple[list[tuple[Convolution, nn.BatchNorm2d]], Any]:
    """The pairs (convolution, norm) that may be folded into one, found while `run` passes through the network; and
    what `run` returned.

    In such a pair the norm alone uses the convolution's result, and this result is not among those of `run`. Both
    modules run once, the convolution with its own weight and bias (not standardised or otherwise computed).
    """
    watch = _Watch(network)
    with torch.no_grad(), watch:
        results = run()
    shown = {id(t) for t in _tensors(results)}
    pairs = [
        (convolution, norm)
        for convolution, norm, result in watch.pairs
        if watch.passes[id(convolution)] == watch.passes[id(norm)] == watch.uses[id(result)] == 1
        and id(result) not in shown
    ]
    return pairs, results


class _Watch(TorchDispatchMode):
    """Keeps the results of convolutions, and counts who uses them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.by_weight = {id(m.weight): m for m in network.modules() if isinstance(m, Convolution)}
        self.by_mean = {id(norm.running_mean): norm for norm in norms_of(network)}
        self.results: dict[int, tuple[Convolution, Tensor]] = {}  # held, so that no id is given twice
        self.uses: Counter[int] = Counter()  # of a result
        self.passes: Counter[int] = Counter()  # of a module
        self.pairs: list[tuple[Convolution, nn.BatchNorm2d, Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run one operation, and note which convolution's result it makes or uses."""
        result = func(*args, **(kwargs or {}))
        inputs = list(_tensors((args, kwargs)))
        self.uses.update(id(t) for t in inputs if id(t) in self.results)
        for norm in (self.by_mean[id(t)] for t in inputs if id(t) in self.by_mean):
            self.passes[id(norm)] += 1
            if id(inputs[0]) in self.results:
                self.pairs.append((self.results[id(inputs[0])][0], norm, inputs[0]))
        if func is torch.ops.aten.convolution.default and id(args[1]) in self.by_weight:
            convolution = self.by_weight[id(args[1])]
            self.passes[id(convolution)] += 1
            if args[2] is convolution.bias:
                self.results[id(result)] = convolution, result
        return result


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors within nested lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
