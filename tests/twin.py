"""The networks and training steps of the `tags` presets in PyTorch, to compare with in tests.bench.step and gpu.

PyTorch pads a strided convolution before the first pixel, Keras after the last. So the twin works on pictures and
kernels rotated by 180 degrees. Its pixels are (b, c, h, w), in the memory order of the pictures given.

It needs PyTorch: pip install --target PEERS torch==2.13.0
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
    """train.data.batches.Batch, rotated and with channels first."""

    lines: Tensor
    colors: Tensor
    mask: Tensor
    tags: Tensor


def batch_of(batch: Any, memory: torch.memory_format, device: str = "cpu") -> TwinBatch:
    """Our Batch, converted for the twin."""
    arrays = [np.asarray(tensor)[:, ::-1, ::-1].transpose(0, 3, 1, 2).copy() for tensor in batch[:3]]
    lines, colors, mask = (torch.from_numpy(array).to(device, memory_format=memory) for array in arrays)
    return TwinBatch(lines, colors, mask, torch.from_numpy(np.array(batch.tags)).to(device))


class ConvBlock(nn.Module):
    """3x3 convolution, group norm, FiLM if there is a condition, SiLU."""

    def __init__(self, inputs: int, channels: int, *, stride: int = 1, condition: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.norm = nn.GroupNorm(
            next(n for n in range(MAX_NORM_GROUPS, 0, -1) if channels % n == 0), channels, eps=1e-3
        )
        self.film = nn.Linear(condition, 2 * channels) if condition else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.norm(self.conv(x))
        return functional.silu(x if self.film is None else modulate(x, self.film(condition)))


def modulate(x: Tensor, scale_shift: Tensor) -> Tensor:
    scale, shift = scale_shift[:, :, None, None].chunk(2, dim=1)
    return x * (1 + scale) + shift


class Upsample(nn.Module):
    """Convolution without bias, then twice the resolution."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, 3, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(self.conv(x), scale_factor=2.0, mode="nearest")


class Generator(nn.Module):
    """train.model.networks.generator in PyTorch."""

    def __init__(self, config: Config, vocabulary: int) -> None:
        super().__init__()
        widths = [config.width * min(MAX_WIDTH_FACTOR, 2**level) for level in range(config.levels)]
        deepest, thin, n = widths[-1], config.width // 2 or 1, config.tag_width
        self.tag_vectors, self.tag_mix = nn.Linear(vocabulary, n, bias=False), nn.Linear(n, n)
        pairs = zip([1, *widths], widths, strict=False)
        self.down = nn.ModuleList(nn.ModuleList([ConvBlock(a, b, stride=2), ConvBlock(b, b)]) for a, b in pairs)
        self.first, self.second = (nn.Conv2d(deepest, deepest, 3, 1, 1, bias=False) for _ in range(2))
        self.whole, self.film = nn.Linear(deepest, deepest), nn.Linear(n, 2 * deepest)
        steps = list(zip(widths[::-1], widths[-2::-1], strict=False))
        self.upsample = nn.ModuleList([*(Upsample(a, b) for a, b in steps), Upsample(widths[0], thin)])
        self.up = nn.ModuleList(ConvBlock(2 * b, b, condition=n) for _, b in steps)
        self.thin, self.colors = nn.Conv2d(thin + 1, thin, 3, 1, 1), nn.Conv2d(thin, 3, 3, 1, 1)

    def forward(self, lines: Tensor, tags: Tensor) -> Tensor:
        condition = functional.silu(self.tag_mix(functional.silu(self.tag_vectors(tags))))
        skips, x = [], lines
        for first, second in self.down:
            x = second(first(x))
            skips.append(x)
        y = functional.silu(self.first(x))
        y = self.second(y) + self.whole(y.mean(dim=(2, 3)))[:, :, None, None]
        x = functional.silu(x + modulate(y, self.film(condition)))
        for upsample, up, skip in zip(self.upsample, self.up, skips[-2::-1], strict=False):
            x = up(torch.cat([upsample(x), skip], dim=1), condition)
        x = torch.cat([self.upsample[-1](x), lines], dim=1)
        return torch.tanh(self.colors(functional.silu(self.thin(x))).float())

    def load(self, model: Any) -> None:
        """Copy the weights of our Keras model."""
        kinds = (keras.layers.Conv2D, GroupNorm, FiLM)
        convs, norms, films = ([layer for layer in model.layers if isinstance(layer, kind)] for kind in kinds)
        dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
        (whole,) = (layer for layer in dense if "tag" not in layer.name)
        down, up = [block for pair in self.down for block in pair], list(zip(self.upsample, self.up, strict=False))
        twin_convs = [*(block.conv for block in down), self.first, self.second]
        twin_convs += [block.conv for pair in up for block in pair] + [self.upsample[-1].conv, self.thin, self.colors]
        copy_weights(twin_convs, convs)
        copy_weights([*(block.norm for block in down), *(block.norm for block in self.up)], norms)
        copy_weights([self.film, *(block.film for block in self.up)], films)
        dense = [model.get_layer("tag_vectors"), model.get_layer("tag_mix"), whole]
        copy_weights([self.tag_vectors, self.tag_mix, self.whole], dense)


class Discriminator(nn.Module):
    """train.model.networks.discriminator in PyTorch, with patches and spectral norm, and without a second output."""

    def __init__(self, config: Config, vocabulary: int) -> None:
        super().__init__()
        widths = [config.discriminator_width * min(4, 2**block) for block in range(4)]
        sizes = zip([4, *widths], widths, (2, 2, 2, 1), strict=False)
        convs = [nn.Conv2d(a, b, 3, stride, 1) for a, b, stride in sizes]
        self.convs, self.logits = nn.ModuleList(convs), nn.Conv2d(widths[-1], 1, 1)
        self.tag_vectors = nn.Linear(vocabulary, widths[-1], bias=False)
        self.u = [torch.zeros(len(kernel)) for kernel in self.kernels()]

    def bounded(self) -> list[Any]:
        """The layers with spectral norm: all of them."""
        return [*self.convs, self.logits, self.tag_vectors]

    def kernels(self) -> list[Tensor]:
        return [layer.weight for layer in self.bounded()]

    def biases(self) -> list[Tensor]:
        return [layer.bias for layer in self.bounded()[:-1]]

    def forward(self, seen: Tensor, tags: Tensor, kernels: list[Tensor], biases: list[Tensor]) -> Tensor:
        """Logits of pictures with their lines, by these weights."""
        *convs, last, tag_vectors = kernels
        x = seen
        for layer, kernel, bias in zip(self.convs, convs, biases, strict=False):
            x = functional.leaky_relu(functional.conv2d(x, kernel, bias, layer.stride, 1), 0.2)
        agreement = (x * functional.linear(tags, tag_vectors)[:, :, None, None]).sum(dim=1, keepdim=True)
        return functional.conv2d(x, last, biases[-1]) + agreement / x.shape[1] ** 0.5

    def load(self, model: Any) -> None:
        """Copy the weights of our Keras model."""
        wrappers = [layer for layer in model.layers if isinstance(layer, keras.layers.SpectralNormalization)]
        convs = [wrapper for wrapper in wrappers if isinstance(wrapper.layer, keras.layers.Conv2D)]
        (tag_vectors,) = (wrapper for wrapper in wrappers if wrapper not in convs)
        copy_weights(self.bounded(), [wrapper.layer for wrapper in (*convs, tag_vectors)])
        self.u = [torch.from_numpy(np.array(wrapper.vector_u)[0]) for wrapper in (*convs, tag_vectors)]


@torch.no_grad()
def bound(kernels: list[Tensor], vectors: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Kernels divided by their largest singular values, after one more power iteration; and its new vectors."""
    flat = [kernel.flatten(1) for kernel in kernels]
    right = [functional.normalize(matrix.T @ u, dim=0) for matrix, u in zip(flat, vectors, strict=True)]
    left = [functional.normalize(matrix @ v, dim=0) for matrix, v in zip(flat, right, strict=True)]
    values = [u @ (matrix @ v) for matrix, u, v in zip(flat, left, right, strict=True)]
    return [kernel / value for kernel, value in zip(kernels, values, strict=True)], left


@torch.no_grad()
def copy_weights(modules: list[Any], layers: list[Any]) -> None:
    """Copy the weights of Keras layers to PyTorch modules: kernels rotated, output channels first."""
    for module, layer in zip(modules, layers, strict=True):
        for parameter, weight in zip(module.parameters(), layer.weights, strict=True):
            value = np.array(weight)
            if value.ndim == 4:
                value = value[::-1, ::-1].transpose(3, 2, 0, 1)
            parameter.copy_(torch.from_numpy((value.T if value.ndim == 2 else value).copy()))


class Twin:
    """Networks, moving average, optimizers and steps of a `tags` preset, starting from our weights."""

    def __init__(self, gan: Gan, memory: torch.memory_format, compiled: Compile | None, device: str = "cpu") -> None:
        config, vocabulary = gan.config, gan.generator.inputs[1].shape[1]
        self.config, self.memory, self.device = config, memory, device
        self.generator, self.discriminator = Generator(config, vocabulary), Discriminator(config, vocabulary)
        self.generator.load(gan.generator)
        self.discriminator.load(gan.discriminator)
        for model in (self.generator, self.discriminator):
            model.to(device, memory_format=memory)
        self.discriminator.u = [vector.to(device) for vector in self.discriminator.u]
        self.average = copy.deepcopy(self.generator)
        betas = (config.beta_1, config.beta_2)
        self.g_optimizer, self.d_optimizer = (
            torch.optim.Adam(model.parameters(), rate, betas, eps=1e-7, fused=True)
            for model, rate in (
                (self.generator, config.learning_rate), (self.discriminator, config.discriminator_rate)
            )
        )  # fmt: skip
        wrap = compiled or (lambda function: function)
        self.pixels, self.discriminate = wrap(self._pixels), wrap(self._discriminate)
        self.generator_loss = wrap(self._generator_loss)

    def step(self, batch: TwinBatch, settings: StepSettings, rate: float, kind: str) -> Figures:
        """One training step, `half`, `plain` or `both`."""
        self.g_optimizer.param_groups[0]["lr"] = rate * self.config.learning_rate
        self.d_optimizer.param_groups[0]["lr"] = rate * self.config.discriminator_rate
        steps = {"half": self.half_step, "plain": self.plain_step, "both": self.adversarial_step}
        return {name: value.detach() for name, value in steps[kind](batch, settings).items()}

    @torch.no_grad()
    def colored(self, batch: Any) -> Any:
        """The generator's output for our Batch, in the layout of our generator's."""
        colors = self.generator(*batch_of(batch, self.memory, self.device)[::3])
        return colors.cpu().numpy().transpose(0, 2, 3, 1)[:, ::-1, ::-1]

    def half_step(self, batch: TwinBatch, settings: StepSettings) -> Figures:
        lines, colors, mask = (functional.avg_pool2d(pixels, 2) for pixels in batch[:3])
        return self.plain_step(TwinBatch(lines, colors, mask, batch.tags), settings)

    def plain_step(self, batch: TwinBatch, settings: StepSettings) -> Figures:
        _, error = self.pixels(*batch, whiten=False)
        self._update_generator(float(settings.loss_weight) * error, float(settings.average_decay))
        return {"l1": error}

    def adversarial_step(self, batch: TwinBatch, settings: StepSettings) -> Figures:
        fakes, error = self.pixels(*batch, whiten=True)
        loss, figures, kernels, vectors = self.discriminate(batch, fakes.detach())
        self._update_discriminator(loss, kernels, vectors)
        adversarial = self.generator_loss(batch, fakes)
        loss = float(settings.loss_weight) * error + self.config.adversarial_weight * adversarial
        self._update_generator(loss, float(settings.average_decay))
        return {"l1": error, "generator": adversarial, **figures}

    def _pixels(
        self, lines: Tensor, colors: Tensor, mask: Tensor, tags: Tensor, *, whiten: bool
    ) -> tuple[Tensor, Tensor]:
        with torch.autocast(self.device, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            fakes = self.generator(lines, tags)
        fakes = fakes * mask + (1 - mask) if whiten else fakes
        return fakes, masked_mean((fakes - colors).abs(), mask)

    def _discriminate(self, batch: TwinBatch, fakes: Tensor) -> tuple[Tensor, Figures, list[Tensor], list[Tensor]]:
        """The discriminator's loss, and the kernels and vectors after two calls in training mode.

        Keras' spectral norm writes the kernel back, so that no gradient passes through the singular value.
        """
        weights, biases, vectors = self.discriminator.kernels(), self.discriminator.biases(), self.discriminator.u
        kernels, logits = weights, []
        for colors in (batch.colors, fakes):
            kernels, vectors = bound(kernels, vectors)
            straight_through = [
                weight + (kernel - weight).detach() for weight, kernel in zip(weights, kernels, strict=True)
            ]
            logits.append(
                self.discriminator(torch.cat([batch.lines, colors], dim=1), batch.tags, straight_through, biases)
            )
        reals, fake_logits = logits
        loss = functional.relu(1 - reals).mean() + functional.relu(1 + fake_logits).mean()
        figures = {"discriminator": loss, "real_logits": reals.mean(), "fake_logits": fake_logits.mean()}
        figures["accuracy"] = ((reals > 0).float().mean() + (fake_logits < 0).float().mean()) / 2
        return loss, figures, kernels, vectors

    def _generator_loss(self, batch: TwinBatch, fakes: Tensor) -> Tensor:
        weights = (self.discriminator.kernels(), self.discriminator.biases())
        constants = ([weight.detach() for weight in group] for group in weights)
        return -self.discriminator(torch.cat([batch.lines, fakes], dim=1), batch.tags, *constants).mean()

    def _update_generator(self, loss: Tensor, decay: float) -> None:
        self.g_optimizer.zero_grad()
        loss.backward()
        self.g_optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), 1 - decay)

    def _update_discriminator(self, loss: Tensor, kernels: list[Tensor], vectors: list[Tensor]) -> None:
        self.d_optimizer.zero_grad()
        loss.backward()
        with torch.no_grad():
            torch._foreach_copy_(self.discriminator.kernels(), kernels)
        self.discriminator.u = vectors
        self.d_optimizer.step()


def masked_mean(errors: Tensor, mask: Tensor) -> Tensor:
    """train.model.losses.masked_mean with channels first."""
    inside = mask.sum(dim=(1, 2, 3)).clamp_min(1)
    return ((errors * mask).sum(dim=(1, 2, 3)) / (inside * errors.shape[1])).mean()
