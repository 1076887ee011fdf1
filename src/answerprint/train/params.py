"""Options that all training runs share."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from answerprint.settings import Settings


class Training(Settings):
    """Options of every training run; a recipe's Params add their own and change the defaults."""

    steps: int = Field(10_000, ge=1, description="Length of the schedule in steps.")
    rate: float = Field(1e-3, gt=0, le=1, description="Highest learning rate.")
    final_rate: float = Field(0.01, ge=0, le=1, description="Learning rate at the end, as a share of the highest.")
    warm_up: int = Field(200, ge=0, description="Steps over which the learning rate rises from 0.")
    optimizer: Literal["adamw", "adam"] = Field("adamw", description="AdamW, or Adam with L2 regularization.")
    betas: tuple[float, float] = Field((0.9, 0.99), description="Momenta of the optimizer.")
    weight_decay: float = Field(0.0, ge=0, le=1, description="Weight decay (AdamW) or L2 regularization (Adam).")
    max_grad_norm: float = Field(1.0, ge=0, description="Gradients are clipped to this norm; 0 = no clipping.")
    average: float = Field(0.999, ge=0, lt=1, description="Decay of the moving average of the weights.")
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="Autocast; auto: bf16 where the processor has it."
    )
    seed: int = Field(1, ge=0, description="Seed of all random draws.")
    workers: int = Field(1, ge=1, le=64, description="Threads that prepare batches.")
    ratio: tuple[float, float, float] = Field((8, 1, 1), description="Shares of training, validation and test clips.")
    scales: tuple[float, ...] = Field((1.0,), description="Sizes at which each clip is used.")
    exclude: tuple[str, ...] = Field((), description="Patterns of file names to leave out.")
    force_train: tuple[str, ...] = Field(
        (), description="Patterns of names of clips that go into the training split whatever their hash."
    )
    checkpoint_minutes: float = Field(3.0, gt=0, description="Minutes between checkpoints.")
    log_every: int = Field(50, ge=1, description="Steps between lines of the log.")
    validate_every: int = Field(1000, ge=1, description="Steps between validations.")
    init_from: Path | None = Field(
        None, description="Checkpoint of another run, or finished weights, to start from where shapes fit."
    )
    grow: bool = Field(
        False, description="Start wider networks from narrower ones (--init-from) without changing their output."
    )
    patience: int = Field(0, ge=0, description="Validations without progress before stopping early; 0 = never.")

    @model_validator(mode="after")
    def _require_source_to_grow(self) -> Self:
        if self.grow and self.init_from is None:
            raise ValueError("nothing to grow from; name weights with --init-from, or leave --grow out")
        return self
