"""The networks and training steps of the `tags` presets, in PyTorch: what tests.bench.step and gpu compare with.

PyTorch pads a strided convolution before its first pixel, Keras behind its last. So the twin sees everything turned by
180 degrees: pictures, and with them kernels. Its pixels are (b, c, h, w), in the memory order of the pictures given.

To be imported where PyTorch is: pip install --target PEERS torch==2.13.0
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from train.config import Config
from train.model.layers import MAX_NORM_GROUPS, FiLM, GroupNorm
from train.model.networks import MAX_WIDTH_FACTOR

if TYPE_CHECKING:  # tests.bench.gpu runs where there is no TensorFlow
    from train.model.gan import Gan, StepSettings

Figures = dict[str, Tensor]
Compile = Callable[..., Any]


class TwinBatch(NamedTuple):
    """As train.data.batches.Batch, turned and with channels first."""

    lines: Tensor
    colors: Tensor
    mask: Tensor
    tags: Tensor


def batch_of(batch: Any, memory: torch.memory_format, device: str = "cpu") -> TwinBatch:
    """A batch of ours, for the twin."""
    pixels = [np.asarray(one)[:, ::-1, ::-1].transpose(0, 3, 1, 2).copy() for one in batch[:3]]
    lines, colors, mask = (torch.from_numpy(one).to(device, memory_format=memory) for one in pixels)
    return TwinBatch(lines, colors, mask, torch.from_numpy(np.array(batch.tags)).to(device))


class Normed(nn.Module):
    """3x3 convolution, group norm, FiLM where there is a condition, SiLU."""

    def __init__(self, given: int, channels: int, *, stride: int = 1, condition: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(given, channels, 3, stride, 1, bias=False)
        self.norm = nn.GroupNorm(
            next(n for n in range(MAX_NORM_GROUPS, 0, -1) if channels % n == 0), channels, eps=1e-3
        )
        self.film = nn.Linear(condition, 2 * channels) if condition else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.norm(self.conv(x))
        return functional.silu(x if self.film is None else modulate(x, self.film(condition)))


def modulate(x: Tensor, told: Tensor) -> Tensor:
    scale, shift = told[:, :, None, None].chunk(2, dim=1)
    return x * (1 + scale) + shift


class Enlarge(nn.Module):
    """Convolution without bias, then twice the resolution."""

    def __init__(self, given: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(given, channels, 3, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(self.conv(x), scale_factor=2.0, mode="nearest")


class Generator(nn.Module):
    """As train.model.networks.generator."""

    def __init__(self, config: Config, vocabulary: int) -> None:
        super().__init__()
        widths = [config.width * min(MAX_WIDTH_FACTOR, 2**level) for level in range(config.levels)]
        deepest, thin, n = widths[-1], config.width // 2 or 1, config.tag_width
        self.tag_vectors, self.tag_mix = nn.Linear(vocabulary, n, bias=False), nn.Linear(n, n)
        pairs = zip([1, *widths], widths, strict=False)
        self.down = nn.ModuleList(nn.ModuleList([Normed(a, b, stride=2), Normed(b, b)]) for a, b in pairs)
        self.first, self.second = (nn.Conv2d(deepest, deepest, 3, 1, 1, bias=False) for _ in range(2))
        self.whole, self.film = nn.Linear(deepest, deepest), nn.Linear(n, 2 * deepest)
        steps = list(zip(widths[::-1], widths[-2::-1], strict=False))
        self.enlarge = nn.ModuleList([*(Enlarge(a, b) for a, b in steps), Enlarge(widths[0], thin)])
        self.up = nn.ModuleList(Normed(2 * b, b, condition=n) for _, b in steps)
        self.thin, self.colors = nn.Conv2d(thin + 1, thin, 3, 1, 1), nn.Conv2d(thin, 3, 3, 1, 1)

    def forward(self, lines: Tensor, tags: Tensor) -> Tensor:
        condition = functional.silu(self.tag_mix(functional.silu(self.tag_vectors(tags))))
        skips, x = [], lines
        for one, other in self.down:
            x = other(one(x))
            skips.append(x)
        y = functional.silu(self.first(x))
        y = self.second(y) + self.whole(y.mean(dim=(2, 3)))[:, :, None, None]
        x = functional.silu(x + modulate(y, self.film(condition)))
        for enlarge, up, skip in zip(self.enlarge, self.up, skips[-2::-1], strict=False):
            x = up(torch.cat([enlarge(x), skip], dim=1), condition)
        x = torch.cat([self.enlarge[-1](x), lines], dim=1)
        return torch.tanh(self.colors(functional.silu(self.thin(x))).float())

    def load(self, model: Any) -> None:
        """Take the weights of ours."""
        kinds = (keras.layers.Conv2D, GroupNorm, FiLM)
        convs, norms, films = ([one for one in model.layers if isinstance(one, kind)] for kind in kinds)
        (whole,) = (one for one in model.layers if isinstance(one, keras.layers.Dense) and "tag" not in one.name)
        down, up = [one for pair in self.down for one in pair], list(zip(self.enlarge, self.up, strict=False))
        mine = [*(one.conv for one in down), self.first, self.second]
        mine += [part.conv for pair in up for part in pair] + [self.enlarge[-1].conv, self.thin, self.colors]
        fill(mine, [one.weights for one in convs])
        fill([*(one.norm for one in down), *(one.norm for one in self.up)], [one.weights for one in norms])
        fill([self.film, *(one.film for one in self.up)], [one.weights for one in films])
        names = [model.get_layer("tag_vectors"), model.get_layer("tag_mix"), whole]
        fill([self.tag_vectors, self.tag_mix, self.whole], [one.weights for one in names])


class Discriminator(nn.Module):
    """As train.model.networks.discriminator with patches and spectral norm; no second output."""

    def __init__(self, config: Config, vocabulary: int) -> None:
        super().__init__()
        widths = [config.discriminator_width * min(4, 2**block) for block in range(4)]
        sizes = zip([4, *widths], widths, (2, 2, 2, 1), strict=False)
        convs = [nn.Conv2d(a, b, 3, stride, 1) for a, b, stride in sizes]
        self.convs, self.logits = nn.ModuleList(convs), nn.Conv2d(widths[-1], 1, 1)
        self.wanted = nn.Linear(vocabulary, widths[-1], bias=False)
        self.u = [torch.zeros(len(kernel)) for kernel in self.kernels()]

    def bounded(self) -> list[Any]:
        """The layers under spectral norm: all."""
        return [*self.convs, self.logits, self.wanted]

    def kernels(self) -> list[Tensor]:
        return [layer.weight for layer in self.bounded()]

    def biases(self) -> list[Tensor]:
        return [layer.bias for layer in self.bounded()[:-1]]

    def forward(self, seen: Tensor, tags: Tensor, kernels: list[Tensor], biases: list[Tensor]) -> Tensor:
        """Logits of pictures beside their lines, by these weights."""
        *convs, last, wanted = kernels
        x = seen
        for layer, kernel, bias in zip(self.convs, convs, biases, strict=False):
            x = functional.leaky_relu(functional.conv2d(x, kernel, bias, layer.stride, 1), 0.2)
        agreement = (x * functional.linear(tags, wanted)[:, :, None, None]).sum(dim=1, keepdim=True)
        return functional.conv2d(x, last, biases[-1]) + agreement / x.shape[1] ** 0.5

    def load(self, model: Any) -> None:
        """Take the weights of ours."""
        wraps = [one for one in model.layers if isinstance(one, keras.layers.SpectralNormalization)]
        convs = [one for one in wraps if isinstance(one.layer, keras.layers.Conv2D)]
        (wanted,) = (one for one in wraps if one not in convs)
        fill(self.bounded(), [one.layer.weights for one in (*convs, wanted)])
        self.u = [torch.from_numpy(np.array(one.vector_u)[0]) for one in (*convs, wanted)]


@torch.no_grad()
def bound(kernels: list[Tensor], vectors: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Kernels over their largest singular values, as one more power iteration has them; and its vectors."""
    flat = [kernel.flatten(1) for kernel in kernels]
    right = [functional.normalize(one.T @ u, dim=0) for one, u in zip(flat, vectors, strict=True)]
    left = [functional.normalize(one @ v, dim=0) for one, v in zip(flat, right, strict=True)]
    values = [u @ (one @ v) for one, u, v in zip(flat, left, right, strict=True)]
    return [kernel / value for kernel, value in zip(kernels, values, strict=True)], left


@torch.no_grad()
def fill(modules: list[Any], weights: list[Any]) -> None:
    """Give layers of PyTorch the weights of layers of Keras: kernels turned, outputs first."""
    for module, found in zip(modules, weights, strict=True):
        for mine, ours in zip(module.parameters(), found, strict=True):
            value = np.array(ours)
            if value.ndim == 4:
                value = value[::-1, ::-1].transpose(3, 2, 0, 1)
            mine.copy_(torch.from_numpy((value.T if value.ndim == 2 else value).copy()))


class Twin:
    """Networks, moving average, optimizers and steps of a `tags` preset, from the weights of ours."""

    def __init__(self, gan: Gan, memory: torch.memory_format, compiled: Compile | None, device: str = "cpu") -> None:
        config, vocabulary = gan.config, gan.generator.inputs[1].shape[1]
        self.config, self.memory, self.device = config, memory, device
        self.generator, self.discriminator = Generator(config, vocabulary), Discriminator(config, vocabulary)
        self.generator.load(gan.generator)
        self.discriminator.load(gan.discriminator)
        for model in (self.generator, self.discriminator):
            model.to(device, memory_format=memory)
        self.discriminator.u = [one.to(device) for one in self.discriminator.u]
        self.average = copy.deepcopy(self.generator)
        betas = (config.beta_1, config.beta_2)
        self.g_optimizer, self.d_optimizer = (
            torch.optim.Adam(model.parameters(), rate, betas, eps=1e-7, fused=True)
            for model, rate in (
                (self.generator, config.learning_rate), (self.discriminator, config.discriminator_rate)
            )
        )  # fmt: skip
        wrap = compiled or (lambda function: function)
        self.pixels, self.judged, self.fooled = wrap(self._pixels), wrap(self._judged), wrap(self._fooled)

    def step(self, batch: TwinBatch, pace: StepSettings, rate: float, kind: str) -> Figures:
        """One training step, `half`, `plain` or `both`."""
        self.g_optimizer.param_groups[0]["lr"] = rate * self.config.learning_rate
        self.d_optimizer.param_groups[0]["lr"] = rate * self.config.discriminator_rate
        steps = {"half": self.half_step, "plain": self.plain_step, "both": self.adversarial_step}
        return {name: value.detach() for name, value in steps[kind](batch, pace).items()}

    @torch.no_grad()
    def colored(self, batch: Any) -> Any:
        """The generator's output for a batch of ours, as ours would be."""
        made = self.generator(*batch_of(batch, self.memory, self.device)[::3])
        return made.cpu().numpy().transpose(0, 2, 3, 1)[:, ::-1, ::-1]

    def half_step(self, batch: TwinBatch, pace: StepSettings) -> Figures:
        lines, colors, mask = (functional.avg_pool2d(one, 2) for one in batch[:3])
        return self.plain_step(TwinBatch(lines, colors, mask, batch.tags), pace)

    def plain_step(self, batch: TwinBatch, pace: StepSettings) -> Figures:
        _, error = self.pixels(*batch, whiten=False)
        self._move_generator(float(pace.loss_weight) * error, float(pace.average_decay))
        return {"l1": error}

    def adversarial_step(self, batch: TwinBatch, pace: StepSettings) -> Figures:
        fakes, error = self.pixels(*batch, whiten=True)
        loss, figures, kernels, vectors = self.judged(batch, fakes.detach())
        self._move_discriminator(loss, kernels, vectors)
        adversarial = self.fooled(batch, fakes)
        loss = float(pace.loss_weight) * error + self.config.adversarial_weight * adversarial
        self._move_generator(loss, float(pace.average_decay))
        return {"l1": error, "generator": adversarial, **figures}

    def _pixels(
        self, lines: Tensor, colors: Tensor, mask: Tensor, tags: Tensor, *, whiten: bool
    ) -> tuple[Tensor, Tensor]:
        with torch.autocast(self.device, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            fakes = self.generator(lines, tags)
        fakes = fakes * mask + (1 - mask) if whiten else fakes
        return fakes, masked_mean((fakes - colors).abs(), mask)

    def _judged(self, batch: TwinBatch, fakes: Tensor) -> tuple[Tensor, Figures, list[Tensor], list[Tensor]]:
        """The discriminator's loss, and the kernels and vectors that two calls in training leave.

        Keras' spectral norm writes the kernel back, so no gradient passes through the singular value.
        """
        weights, biases, vectors = self.discriminator.kernels(), self.discriminator.biases(), self.discriminator.u
        kernels, logits = weights, []
        for colors in (batch.colors, fakes):
            kernels, vectors = bound(kernels, vectors)
            through = [weight + (kernel - weight).detach() for weight, kernel in zip(weights, kernels, strict=True)]
            logits.append(self.discriminator(torch.cat([batch.lines, colors], dim=1), batch.tags, through, biases))
        reals, judged = logits
        loss = functional.relu(1 - reals).mean() + functional.relu(1 + judged).mean()
        figures = {"discriminator": loss, "real_logits": reals.mean(), "fake_logits": judged.mean()}
        figures["accuracy"] = ((reals > 0).float().mean() + (judged < 0).float().mean()) / 2
        return loss, figures, kernels, vectors

    def _fooled(self, batch: TwinBatch, fakes: Tensor) -> Tensor:
        still = (
            [one.detach() for one in found] for found in (self.discriminator.kernels(), self.discriminator.biases())
        )
        return -self.discriminator(torch.cat([batch.lines, fakes], dim=1), batch.tags, *still).mean()

    def _move_generator(self, loss: Tensor, decay: float) -> None:
        self.g_optimizer.zero_grad()
        loss.backward()
        self.g_optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), 1 - decay)

    def _move_discriminator(self, loss: Tensor, kernels: list[Tensor], vectors: list[Tensor]) -> None:
        self.d_optimizer.zero_grad()
        loss.backward()
        with torch.no_grad():
            torch._foreach_copy_(self.discriminator.kernels(), kernels)
        self.discriminator.u = vectors
        self.d_optimizer.step()


def masked_mean(errors: Tensor, mask: Tensor) -> Tensor:
    """As train.model.losses.masked_mean, channels first."""
    inside = mask.sum(dim=(1, 2, 3)).clamp_min(1)
    return ((errors * mask).sum(dim=(1, 2, 3)) / (inside * errors.shape[1])).mean()
