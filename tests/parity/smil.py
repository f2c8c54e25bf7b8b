"""SMIL: one meta step in full: noisy pass, inner step, both validation passes, losses, gradients.

The fixture's two encoders are dense layers, of one modality that is seen and one that is not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from survbench.learn import Batch, GeneBatch, Widths
from survbench.learn.fillers import Filler, Fused
from survbench.methods.smil import MetaStep, SMILConfig, SMILNet
from tests.parity.fixture import Fixture, Ours

SEEN, HIDDEN = "P", "G"
RENAMES = {
    "model.img_extractor.fc": f"stems.{SEEN}",
    "model.sound_extractor.fc": f"stems.{HIDDEN}",
    "model.fc1": "fusion.first",
    "model.fc2": "fusion.last",
    "inference.fc0": f"fusion.fillers.{HIDDEN}.mix",
    "inference.fc1": f"fusion.fillers.{HIDDEN}.lift",
    "inference.fc2": f"fusion.fillers.{HIDDEN}.lift_hidden",
}


class Ragged(list[Tensor]):
    """Features of unequal width, taken apart like a stacked tensor."""

    def unbind(self, dim: int) -> list[Tensor]:
        assert dim == 1
        return list(self)


class Encoders(nn.ModuleDict):
    """relu(Linear) of each modality, zero where it is absent."""

    def forward(self, patients: Batch) -> tuple[Ragged, Tensor]:
        features, present = Ragged(), []
        for name, dense in self.items():
            genes = patients.genes(name)
            here = torch.zeros(len(patients), dtype=torch.bool)
            here[genes.rows] = True
            made = dense(genes.values).relu()
            zero = made.new_zeros(len(patients), made.shape[1])
            features.append(zero.index_put((genes.rows,), made))
            present.append(here)
        return features, torch.stack(present, dim=1)


def renamed(name: str) -> str:
    """Our name of a weight of the reference."""
    part = name.rpartition(".")[0]
    return name.replace(part, RENAMES[part], 1)


def network(fixture: Fixture) -> SMILNet:
    """Our network with the reference's weights; the filler it lacks keeps ours."""
    config = fixture.config
    inputs = {SEEN: config["avail_dim"], HIDDEN: config["other_dim"]}
    features = {SEEN: config["avail_feature"], HIDDEN: config["other_feature"]}
    widths = Widths({}, inputs, {}, config["classes"], (SEEN, HIDDEN))
    net = SMILNet(
        SMILConfig(
            hidden=config["hidden"],
            priors=config["priors"],
            inner_lr=config["lr_inner"],
            inner_steps=config["inner_steps"],
            match_feature=config["alpha"],
            match_hidden=config["beta"],
            weight_complete=0.0,
        ),
        widths,
        Encoders({name: nn.Linear(inputs[name], features[name]) for name in inputs}),
        features,
    )
    ours = {name: value.numpy() for name, value in net.state_dict().items()}
    theirs = {renamed(name): value for name, value in fixture.state.items()}
    replace(fixture, state={**ours, **theirs}).load(net)
    net.fusion.fillers[HIDDEN].get_buffer("priors").copy_(fixture.tensor("priors"))
    return net


def patients(seen: Tensor, hidden: Tensor, label: Tensor) -> Batch:
    """Patients with one modality, the first of whom have the other."""
    genes = {
        name: GeneBatch(values, torch.arange(len(values)), {})
        for name, values in {SEEN: seen, HIDDEN: hidden}.items()
    }
    return Batch(tuple(map(str, range(len(seen)))), genes, label, torch.ones(len(label)))


def entropy(logits: Tensor, batch: Batch) -> Tensor:
    """Cross entropy (B,), the reference's task."""
    return functional.cross_entropy(logits, batch.outcome[0], reduction="none")


def outputs(fixture: Fixture) -> Ours:
    """Outputs of one meta step and gradients of its loss."""
    net = network(fixture)
    label = {which: fixture.tensor(f"label_{which}") for which in ("train", "val")}
    other = fixture.tensor("x_other_val")
    train = patients(fixture.tensor("x_avail_train"), other[:0], label["train"])
    valid = patients(fixture.tensor("x_avail_val"), other, label["val"])
    noise = fixture.tensor("noise_train0"), fixture.tensor("noise_train1")
    hidden = net.names.index(HIDDEN)
    step = net.meta_step(train, valid, hidden, entropy, noise)
    inner = entropy(step.noisy.logits, train).mean()
    outer = net.validation_loss(step, valid, entropy).mean()
    (inner + outer).backward()
    missing, complete = step.missing, step.complete
    filler, features = cast("Filler", net.fusion.fillers[HIDDEN]), net.encode(valid)[0]
    true = features[hidden]
    squared = {
        "map1": (missing.feature - complete.feature).square().mean(),
        "map2": (missing.hidden - complete.hidden).square().mean(),
        "prior_mse": (missing.filled[hidden] - true).square().mean(),
    }
    return {
        **passes("train", step.noisy, hidden),
        **passes("val", missing, hidden, "_missing"),
        **passes("val", complete, hidden, "_complete"),
        "val_other_feature": true,
        "loss_meta_train": inner,
        "loss_meta_val": outer,
        "loss_total": inner + outer,
        "loss_ce_missing": entropy(missing.logits, valid).mean(),
        **{f"loss_{name}": value for name, value in squared.items()},
        "val_mixture_weights_before_update": filler.weights(features[0]),
        "val_reconstructed_before_update": filler(features[0]),
        **weights(fixture, net, step),
    }


def passes(which: str, fused: Fused, hidden: int, kind: str = "") -> dict[str, Tensor]:
    """Outputs of one pass."""
    return {
        f"{which}_logits{kind}": fused.logits,
        f"{which}_f{kind}": fused.feature,
        f"{which}_h{kind}": fused.hidden,
        **({} if kind == "_complete" else {f"{which}_reconstructed": fused.filled[hidden]}),
    }


def weights(fixture: Fixture, net: SMILNet, step: MetaStep) -> Ours:
    """Parameters after the inner step, and gradients of the whole loss, under their names."""
    ours: dict[str, Tensor | None] = {}
    named = dict(net.named_parameters())
    for name in fixture.state:
        at, plain = renamed(name), name.removeprefix("model.")
        ours[f"updated_{plain}"] = step.adapted.get(at, named[at])
        gradient = f"grad_total_{plain.replace('inference.', 'enc.')}"
        ours[gradient] = named[at].grad
    return ours
