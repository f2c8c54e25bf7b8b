"""GPDBN in its original form: two vectors in, every product, the code, log-risk and losses."""

import torch
from torch import Tensor, nn

from survbench.learn.losses import cox_sorted, cox_surv
from survbench.learn.penalty import l1_norm
from survbench.methods.gpdbn import BilinearFusion, GPDBNConfig
from tests.parity.fixture import Fixture, Ours

RENAMES = (
    (r"gene_path\.0", "fusion.inter.dense"),
    (r"gene_gene\.0", "fusion.intra_gene.dense"),
    (r"path_path\.0", "fusion.intra_path.dense"),
    ("encoder", "fusion.mlp"),
    (r"classifier\.0", "head"),
)


class CoxForm(nn.Module):
    """A fusion and the head of both bilinear papers: a log-risk between two frozen bounds."""

    def __init__(self, fusion: nn.Module, code: int, outputs: int = 1) -> None:
        super().__init__()
        self.fusion = fusion
        self.head = nn.Linear(code, outputs)
        self.output_range = nn.Parameter(torch.tensor([6.0]), requires_grad=False)
        self.output_shift = nn.Parameter(torch.tensor([-3.0]), requires_grad=False)

    def forward(self, *vectors: object) -> Tensor:
        """Log-risks (B, outputs) of what the fusion reads."""
        return self.bounded(self.fusion(*vectors))

    def bounded(self, code: Tensor) -> Tensor:
        """Log-risks (B, outputs) of codes."""
        return self.head(code).sigmoid() * self.output_range + self.output_shift  # type: ignore[no-any-return]


def losses(net: nn.Module, out: Tensor, fixture: Fixture) -> tuple[Tensor, Tensor, Tensor]:
    """Cox loss (1,) of sorted patients, L1 norm () of the net, and their weighted sum (1,)."""
    cox = cox_sorted(out[:, 0], fixture.tensor("event"))[None]
    norm = l1_norm(net)
    return cox, norm, cox + fixture.config["lambda_reg"] * norm


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs of all patients together."""
    config = fixture.config
    fusion = BilinearFusion(
        GPDBNConfig(vector=config["in_size"], bilinear=config["hidden"], mlp=tuple(config["fc"]))
    )
    net = CoxForm(fusion, config["fc"][-1], config["output_dim"])
    fixture.load(net, RENAMES)
    gene, path = (fixture.tensor(f"x_{name}")[:, 0] for name in ("gene", "path"))  # (B, E)
    out = net(gene, path)
    cox, norm, total = losses(net, out, fixture)
    return {
        "out": out,
        "code": fusion(gene, path),
        "inter": fusion.inter(gene, path),
        "intra_gene": fusion.intra_gene(gene, gene),
        "intra_path": fusion.intra_path(path, path),
        "fusion_input": fusion.join(gene, path),
        "cox_sorted": cox,
        "cox_risk_set": cox_surv(out[:, 0], fixture.tensor("time"), fixture.tensor("event")),
        "l1_all": norm,
        "loss_total": total,
    }
