"""All tensors that training changes: weights, their moving average, the update rule's memory."""

import math
from typing import Any

import torch
from torch import Tensor

from seq2seq import checkpoint as checkpoints
from seq2seq import recipe
from seq2seq.checkpoint import Checkpoint
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.parallel import World
from seq2seq.training.gradients import gradient_norm
from seq2seq.training.optim import build_average, build_optimizer, clip_gradients, shrink


class Learner:
    """A model with its update rule and, if the recipe wants one, the average of its weights.

    Attributes:
        model: what learns.
        device: where it is.
        optimizer: the update rule.
        average: the moving average.
        scaler: of the loss in float16; of no effect otherwise.
    """

    def __init__(self, section: recipe.Training, model: Seq2Seq, world: World) -> None:
        self.section = section
        self.model = model
        self.world = world
        self.device = next(model.parameters()).device
        self.optimizer = build_optimizer(section, model.parameters())
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=section.precision == "float16")
        self.average = build_average(model, section.ema_decay) if section.ema_decay else None

    @property
    def inference_model(self) -> Seq2Seq:
        """The weights to translate with: the average, if one is kept."""
        model = self.model if self.average is None else self.average.module
        assert isinstance(model, Seq2Seq)
        return model

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss to those that the weights have."""
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def collect(self) -> Tensor:
        """Sum the gradients over all processes; their global norm, a scalar on the device."""
        self.world.sum_gradients(self.model.parameters())
        self.scaler.unscale_(self.optimizer)
        return gradient_norm(self.model.parameters())

    def can_step(self, norm: float) -> bool:
        """Whether gradients of this norm can be used; a scaler leaves infinite ones out itself."""
        return math.isfinite(norm) or self.scaler.is_enabled()

    def step(self, learning_rate: float, norm: Tensor) -> None:
        """Update the weights by collected gradients, whose global norm is given."""
        clip_gradients(self.section, self.model.parameters(), norm)
        for settings in self.optimizer.param_groups:
            settings["lr"] = learning_rate
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.section.l1:
            shrink(self.model.parameters(), learning_rate * self.section.l1)
        if self.average is not None:
            self.average.update_parameters(self.model)

    def restart(self, best: Checkpoint) -> None:
        """Go on from the weights of a `best` checkpoint, everything else being new."""
        checkpoints.load_weights(self.model, best.part("model"))
        self.optimizer = build_optimizer(self.section, self.model.parameters())
        if self.average is not None:
            self.average = build_average(self.model, self.section.ema_decay)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that `restore` needs; random numbers have no state, see `seeding`."""
        tensors = checkpoints.weights_of(self.model)
        if self.average is not None:
            tensors |= checkpoints.weights_of(self.average.module, "average")
            tensors["averaged"] = self.average.n_averaged
        return tensors | checkpoints.optimizer_tensors(self.optimizer)

    def values(self) -> dict[str, Any]:
        """What `restore` needs besides."""
        return {"scale": self.scaler.state_dict()}

    def restore(self, saved: Checkpoint) -> None:
        """Go back to where `tensors` and `values` were taken."""
        checkpoints.load_weights(self.model, saved.part("model"))
        if self.average is not None:
            checkpoints.load_weights(self.average.module, saved.part("average"))
            self.average.n_averaged.copy_(saved.tensors["averaged"])
        checkpoints.load_optimizer(self.optimizer, saved.part("optimizer"))
        if scale := saved.values.get("scale"):
            self.scaler.load_state_dict(scale)
