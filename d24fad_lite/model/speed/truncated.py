"""A network without the stages that only its coarser maps need, for methods that never look at those.

The first maps of a chain of stages do not depend on later stages; in a Wide ResNet-50-2 the last one holds two thirds
of the weights and a quarter of the time. The shorter network shares the stages of the whole one: it holds no weight of
its own, and follows every change of theirs.
"""

from __future__ import annotations

import copy
from weakref import WeakKeyDictionary

from timm.models import FeatureListNet
from timm.models.efficientnet import EfficientNetFeatures
from timm.models.mobilenetv3 import MobileNetV3Features
from torch import nn

Parts = dict[str, list[nn.Module]]  # by the name of a child: the module itself, or the blocks that a child chains
_shorter: WeakKeyDictionary[nn.Module, dict[int, tuple[Parts, nn.Module]]] = WeakKeyDictionary()


def truncated(network: nn.Module, count: int) -> nn.Module:
    """The network up to its first `count` feature maps; the whole where it is no chain of stages known here.

    Known are timm's chains (ResNet, ConvNeXt, RegNet and others), its EfficientNets and MobileNets. The
    same object comes back each time, so that its folded copy is made once, unless a stage has been replaced since.
    """
    parts = _first_parts(network, count)
    if parts is None:
        return network
    known = _shorter.setdefault(network, {})
    if count not in known or known[count][0] != parts:  # modules are equal where they are the same
        known[count] = parts, _of_parts(network, parts)
    return known[count][1]


def _first_parts(network: nn.Module, count: int) -> Parts | None:
    """What the first `count` maps need, None where that is everything or not known."""
    if type(network) is FeatureListNet:
        names = list(network)
        ends = [position for position, name in enumerate(names) if name in network.return_layers]
        needed = names[: ends[count - 1] + 1] if count < len(ends) else names
        return {name: [network[name]] for name in needed} if len(needed) < len(names) else None
    if type(network) in (EfficientNetFeatures, MobileNetV3Features) and network.feature_hooks is None:
        stages = sorted(network._stage_out_idx)  # 0 is the stem
        if count < len(stages):
            blocks = list(network.blocks.children())[: stages[count - 1]]
            return {**{name: [child] for name, child in network.named_children()}, "blocks": blocks}
    return None


def _of_parts(network: nn.Module, parts: Parts) -> nn.Module:
    """The network with these children alone; everything else of it is shared."""
    shorter = copy.copy(network)
    shorter._modules = {
        name: modules[0] if name != "blocks" else nn.Sequential(*modules).eval() for name, modules in parts.items()
    }
    return shorter
