"""What cannot be trained as asked for is refused in one sentence, before anything is written."""

from typing import Any

import pytest

from dominoes.data.dealing import Dealt
from dominoes.data.dominoes import Dominoes
from dominoes.errors import DominoesError
from dominoes.spec import RunSpec, TrainSpec
from dominoes.training.trial import check_run


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"model": "brought:wrong"},
            r"model brought:wrong with \(10\) answers a tensor of shape \(2, 11\) to 2 pictures; expected .*\(2, 10\)",
        ),
        ({"model": "brought:wrong", "model_args": {"how": "module"}}, r"makes int of \(10, how='module'\); expected a torch.nn.Module"),
        ({"model": "brought:wrong", "model_args": {"how": "sizes"}}, r"cannot answer for 3×64×32 pictures \(RuntimeError: .*mat1 and mat2"),
        (
            {"model": "brought:Transformer", "model_args": {"depth": 3}},
            "cannot be called as .classes, depth=3.: .* keyword argument 'depth'",
        ),
        ({"model": "detector", "model_args": {"width": 3}}, "model detector takes .* and cannot be called as .classes, width=3."),
        ({"model": "mlp", "model_args": {"width": 0}}, "width 0: expected a whole number of units in a layer of the MLP, at least 1"),
        ({"model": "mlp", "model_args": {"width": 2.5}}, "width 2.5: expected a whole number"),
        ({"model": "mlp", "model_args": {"width": "wide"}}, "width 'wide': expected a whole number"),
        ({"model": "brought:Absent"}, "model brought:Absent: brought has no Absent"),
        ({"optimizer": "brought:lbfgs"}, r"a step of training with brought:lbfgs fails \(TypeError: .*closure"),
        ({"optimizer": "adamw", "optimizer_args": {"betas": [0.9, 2.0]}}, r"optimizer adamw cannot be made with .*Invalid beta"),
        ({"optimizer": "adamw", "optimizer_args": {"speed": 1}}, "optimizer adamw takes .* and cannot be called"),
        ({"optimizer": "muon"}, "optimizer muon cannot be made with .*2D parameters"),
        ({"loss": "brought:matrix"}, r"loss brought:matrix gives a tensor of shape \(4, 10\) for 4 dominoes; expected one number, or one"),
        ({"loss": "brought:heads"}, r"loss brought:heads takes .* and cannot be called as \(logits, batch\): too many positional"),
        ({"loss_args": {"label_smoothing": 3}}, r"a step of training fails \(RuntimeError: label_smoothing must be between"),
        ({"augment": "brought:label_only"}, "augmentation brought:label_only takes .* and cannot be called as"),
        ({"augment": "flip side=left"}, "augmentation side=left: expected top, bottom or both"),
        (
            {"schedule": "steps", "schedule_args": {"at": 3}},
            "schedule steps with {'at': 3} fails at step 0 of 1000 .TypeError: 'int' object is not iterable",
        ),
        (
            {"schedule": "cosine", "schedule_args": {"floor": -1}},
            r"schedule cosine gives -0.99.* expected a factor of the rate, at least 0",
        ),
        ({"parameter_groups": "brought:FAST"}, "parameter grouping brought:FAST is Network, which cannot be called"),
        ({"checkpoints": "0,11"}, "checkpoints 11: the run has 10 steps; expected steps up to the last one"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(small: Dealt, fields: dict[str, Any], sentence: str) -> None:
    """It names the thing, what was expected and what was found; nothing of Python's own error escapes."""
    how = TrainSpec(**({"epochs": 1, "batch": 32} | fields))
    with pytest.raises(DominoesError, match=sentence):
        check_run(RunSpec(dataset=small.spec, train=how), Dominoes.of(small))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"model": "brought:Transformer", "model_args": {"width": 8}},
        {"model": "brought:Idle", "optimizer": "nadam"},
        {"optimizer": "sgd", "optimizer_args": {"nesterov": True}},
        {"parameter_groups": "brought:heads", "model": "brought:PreActivation"},
        {"loss": "brought:checked", "augment": ["flip", "crop side=top shift=2"]},
        {"checkpoints": "10"},
    ],
)
def test_what_can_be_trained_passes(small: Dealt, fields: dict[str, Any]) -> None:
    """Everything built in, and what is brought rightly."""
    check_run(RunSpec(dataset=small.spec, train=TrainSpec(**({"epochs": 1, "batch": 32} | fields))), Dominoes.of(small))


def test_levels_of_a_kind_that_is_not_there(small: Dealt) -> None:
    """It names the kinds that are."""
    from dominoes.data import dealing
    from dominoes.spec import DominoSpec

    dealt = dealing.deal_spec(DominoSpec(n=40, prevalence=(1, 0.5), top="digits", bottom="textures"))
    how = TrainSpec(stop_loss=0.1, level_kind="empty")
    with pytest.raises(DominoesError, match="level_kind empty: the dataset has no such dominoes; expected mix or one of top, both"):
        check_run(RunSpec(dataset=dealt.spec, train=how), Dominoes.of(dealt))
