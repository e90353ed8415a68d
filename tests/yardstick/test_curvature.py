"""The largest curvature, and the step that follows from it."""

import pytest
import torch

from dominoes.errors import SpecError
from dominoes.yardstick.chains import Landscape
from dominoes.yardstick.curvature import largest, localisation, preconditioner, step_size


def quadratic(matrix: torch.Tensor) -> Landscape:
    """½ wᵀHw, and for each example a slope along the first weight that is 0 on average."""
    slopes = torch.tensor([1.0, -1.0], dtype=matrix.dtype)
    return Landscape(lambda weights, rows: weights @ matrix @ weights / 2 + slopes[rows % 2] * weights[0], 20)


def test_power_iteration_finds_the_largest_eigenvalue() -> None:
    """As numpy's symmetric solver has it, also where another is larger in size but negative, with a preconditioner, and of no curvature."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(12, 12, generator=generator).double()).Q
    scale = torch.rand(12, generator=generator).double() + 0.1
    for eigenvalues in (torch.linspace(0, 3, 12), torch.linspace(-7, 3, 12), torch.zeros(12)):
        matrix = basis @ torch.diag(eigenvalues.double()) @ basis.T
        for given in (None, scale):
            root = torch.ones(12).double() if given is None else given.sqrt()
            known = float(torch.linalg.eigvalsh(root[:, None] * matrix * root)[-1])
            found = largest(quadratic(matrix), torch.zeros(12).double(), preconditioner=given)
            assert found.converged
            assert found.value == pytest.approx(known, rel=0.1, abs=1e-9)


def test_step_and_localisation_follow_the_rule() -> None:
    """γ = nβ λ_max/κ and ε = c/(nβ λ_max + γ); negative curvature counts as none for ε, and gives no γ."""
    gamma = localisation(100.0, 5.0, 25.0)
    assert gamma == 20.0
    step = step_size(100.0, 5.0, gamma, 0.8)
    assert step == pytest.approx(0.8 / 520)
    assert step_size(100.0, -5.0, gamma, 0.8) == pytest.approx(0.04)
    with pytest.raises(SpecError, match="so κ gives no localisation; pass --gamma instead"):
        localisation(100.0, -5.0, 25.0)


def test_the_preconditioner_is_of_root_mean_square_gradients() -> None:
    """Entries are 1 where gradients are below the floor, 1/c where they are c times the floor; without gradients all are 1."""
    landscape = quadratic(torch.zeros(4, 4).double())
    found = preconditioner(landscape, torch.zeros(4).double(), 1)
    # One gradient of size 1 and three of 0: the root mean square is ½, the floor a tenth of it.
    assert found.tolist() == pytest.approx([0.05, 1, 1, 1])
    nothing = Landscape(lambda weights, rows: (0 * weights.sum()).expand(len(rows)), 20)
    assert preconditioner(nothing, torch.zeros(4).double(), 1).tolist() == [1, 1, 1, 1]
