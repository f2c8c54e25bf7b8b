"""One short vector per patient of each modality, for networks that were written for vectors.

Letters: n patients, D patch width, C gene columns, H width inside, E width of a vector.
"""

from torch import Tensor, nn

from survbench.learn.batch import GeneBatch, Widths
from survbench.learn.snn import gene_columns, snn_blocks
from survbench.learn.stems import BagStem, Stems

__all__ = ["GeneVector", "VectorStems"]


class GeneVector(nn.Module):
    """Genes of all groups through one self-normalising block and one dense layer.

    Parameters
    ----------
    columns
        Columns (C,) that are read.
    width
        E, width of the vector.
    hidden
        H, width of the block.
    dropout
        Of the block.
    """

    def __init__(self, columns: Tensor, width: int, hidden: int, dropout: float = 0.25) -> None:
        super().__init__()
        self.columns: Tensor
        self.register_buffer("columns", columns, persistent=False)
        self.blocks = snn_blocks(len(columns), [hidden], dropout=dropout)
        self.dense = nn.Linear(hidden, width)

    def forward(self, genes: GeneBatch) -> Tensor:
        """Vectors (n, E) of n patients."""
        vector: Tensor = self.dense(self.blocks(genes.values[:, self.columns]))
        return vector


class VectorStems(Stems):
    """Gated-attention pooling of each bag, one block over all genes, and a dense layer to width E.

    Parameters
    ----------
    widths
        Sizes of the cohort's modalities.
    width
        E, width of a vector.
    hidden
        H, width before the last layer.
    dropout
        On tokens, on both halves of the attention and on the gene block.
    bounded
        Bags end in a sigmoid, in (0, 1), and genes in a tanh, in (-1, 1).
    """

    def __init__(
        self,
        widths: Widths,
        width: int,
        *,
        hidden: int = 256,
        dropout: float = 0.25,
        bounded: bool = False,
    ) -> None:
        def stem(name: str) -> nn.Module:
            if name in widths.patch:
                bag = BagStem(widths.patch[name], hidden, dropout)
                bound = nn.Sigmoid() if bounded else nn.Identity()
                return nn.Sequential(bag, nn.Linear(hidden, width), bound)
            genes = GeneVector(gene_columns(widths, name), width, hidden, dropout)
            return nn.Sequential(genes, nn.Tanh() if bounded else nn.Identity())

        super().__init__(widths, width, stem=stem)
