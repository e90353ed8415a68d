"""Losses whose learning coefficient is known: in closed form, and at any nβ and γ by quadrature, in numpy alone."""

from __future__ import annotations

import numpy as np
import torch

from dominoes.yardstick.chains import Landscape


def constant(function, n):
    """A landscape whose examples all have the same loss."""
    return Landscape(lambda weights, rows: function(weights).expand(len(rows)), n)


def crossing(a, b, copies, n):
    """Σ (x^a y^b)² over independent copies of (x, y): 2·copies weights, and copies times the coefficient of one.

    One has λ = min(1/2a, 1/2b) (Watanabe 2009, section 4.5): the exponents of its normal crossing.
    """
    return constant(lambda w: (w[:copies] ** a * w[copies:] ** b).square().sum(), n)


def crossing_by_quadrature(a, b, nbeta, gamma):
    """nβ E[K] of one copy under exp(−nβ K − γ/2 (x² + y²)), on a grid of sinh-spaced points: dense near 0, up to 8 standard deviations."""
    u, du = np.linspace(-1, 1, 2001, retstep=True)
    stretch = 12 if a * b else 6
    x = 8 / np.sqrt(gamma) * np.sinh(stretch * u) / np.sinh(stretch)
    log_width = np.log(np.cosh(stretch * u) * du)
    energy = nbeta * (x[:, None] ** a * x[None] ** b) ** 2
    log_density = -energy - gamma / 2 * (x[:, None] ** 2 + x[None] ** 2) + log_width[:, None] + log_width[None]
    weight = np.exp(log_density - log_density.max())
    return float((energy * weight).sum() / weight.sum())


def linear_network(inputs, hidden, outputs, copies, n):
    """½ |BA|², summed over copies of a two-layer linear network that has learned the zero map from white inputs."""

    def loss(w):
        parts = w.view(-1, copies)
        first = parts[: hidden * inputs].view(hidden, inputs, copies)
        second = parts[hidden * inputs :].view(outputs, hidden, copies)
        return torch.einsum("nhc,hmc->nmc", second, first).square().sum() / 2

    return constant(loss, n)


def aoyagi(inputs, hidden, outputs, rank):
    """λ of reduced rank regression, Aoyagi and Watanabe 2005 (Neural Networks 18, 924–933), main theorem: M inputs, H hidden, N outputs."""
    M, H, N, r = inputs, hidden, outputs, rank
    if N + r <= M + H and M + r <= N + H and H + r <= M + N:
        odd = (M + H + N + r) % 2
        return (-((H + r) ** 2) - M**2 - N**2 + 2 * (H + r) * M + 2 * (H + r) * N + 2 * M * N + odd) / 8
    if N + r > M + H:
        return (H * M - H * r + N * r) / 2
    if M + r > N + H:
        return (H * N - H * r + M * r) / 2
    return M * N / 2


def linear_network_by_quadrature(inputs, outputs, nbeta, gamma):
    """nβ E[½ |BA|²] for two hidden units under exp(−nβ ½|BA|² − γ/2 (|A|² + |B|²)).

    B is Gaussian given A and integrates to det(γ + nβ AAᵀ)^(−N/2); what is left are the two eigenvalues of AAᵀ, which is a Wishart matrix.
    """
    log_value = np.linspace(-60, 5, 3001)
    one, two = np.meshgrid(np.exp(log_value) / gamma, np.exp(log_value) / gamma)
    with np.errstate(divide="ignore"):
        log_density = (inputs - 3) / 2 * np.log(one * two) - gamma / 2 * (one + two) + np.log(np.abs(one - two))
    log_density += np.log(one * two) - outputs / 2 * (np.log1p(nbeta / gamma * one) + np.log1p(nbeta / gamma * two))
    weight = np.exp(log_density - log_density.max())
    share = nbeta * one / (gamma + nbeta * one) + nbeta * two / (gamma + nbeta * two)
    return float((outputs / 2 * share * weight).sum() / weight.sum())
