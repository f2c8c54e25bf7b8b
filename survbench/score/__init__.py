"""Predictions to numbers: concordance, Brier score, log-rank, bootstrap intervals."""

from survbench.score.bootstrap import bootstrap, interval
from survbench.score.predictions import (
    FoldPredictions,
    PredictionTable,
    Score,
    read_outcome,
    read_predictions,
)
from survbench.score.summary import FoldScores, Summary, score_fold, summarise

__all__ = [
    "FoldPredictions",
    "FoldScores",
    "PredictionTable",
    "Score",
    "Summary",
    "bootstrap",
    "interval",
    "read_outcome",
    "read_predictions",
    "score_fold",
    "summarise",
]
