"""All tensors that training changes: weights, their moving average, the update rule's memory."""

import torch
from torch import Tensor

from seq2seq import checkpoint as checkpoints
from seq2seq import recipe
from seq2seq.checkpoint import Checkpoint
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.training.optim import build_average, build_optimizer, clip_gradients, shrink


class Learner:
    """A model with its update rule and, if the recipe wants one, the average of its weights.

    Attributes:
        model: what learns.
        device: where it is.
        optimizer: the update rule.
        average: the moving average.
    """

    def __init__(self, section: recipe.Training, model: Seq2Seq) -> None:
        self.section = section
        self.model = model
        self.device = next(model.parameters()).device
        self.optimizer = build_optimizer(section, model.parameters())
        self.average = build_average(model, section.ema_decay) if section.ema_decay else None

    @property
    def inference_model(self) -> Seq2Seq:
        """The weights to translate with: the average, if one is kept."""
        model = self.model if self.average is None else self.average.module
        assert isinstance(model, Seq2Seq)
        return model

    def step(self, learning_rate: float, norm: Tensor) -> None:
        """Update the weights by the gradients that they have, whose global norm is given."""
        clip_gradients(self.section, self.model.parameters(), norm)
        for settings in self.optimizer.param_groups:
            settings["lr"] = learning_rate
        self.optimizer.step()
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
        """Everything that `restore` needs, the state of the random numbers included."""
        tensors = checkpoints.weights_of(self.model)
        if self.average is not None:
            tensors |= checkpoints.weights_of(self.average.module, "average")
            tensors["averaged"] = self.average.n_averaged
        tensors |= checkpoints.optimizer_tensors(self.optimizer)
        tensors["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        return tensors

    def restore(self, saved: Checkpoint) -> None:
        """Go back to where `tensors` were taken."""
        checkpoints.load_weights(self.model, saved.part("model"))
        if self.average is not None:
            checkpoints.load_weights(self.average.module, saved.part("average"))
            self.average.n_averaged.copy_(saved.tensors["averaged"])
        checkpoints.load_optimizer(self.optimizer, saved.part("optimizer"))
        torch.set_rng_state(saved.tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in saved.tensors:
            torch.cuda.set_rng_state(saved.tensors["random.cuda"], self.device)
