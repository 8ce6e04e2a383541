"""Good rows of core's formats: a format of a plugin's must leave them to core."""

from __future__ import annotations

from halo.data.interface import Row

_QUESTION = [{"role": "system", "content": "Answer with a number."}, {"role": "user", "content": "2 + 2?"}]
_GOOD, _BAD = [{"role": "assistant", "content": "4"}], [{"role": "assistant", "content": "5"}]

SAMPLES: dict[str, tuple[Row, ...]] = {
    "pairs": (
        {"prompt": "2 + 2 =", "chosen": " 4", "rejected": " 5"},
        {"prompt": _QUESTION, "chosen": _GOOD, "rejected": _BAD, "chosen_score": 0.9, "rejected_score": 0.1},
    ),
    "labels": (
        {"prompt": "2 + 2 =", "completion": " 4", "label": True},
        {"prompt": _QUESTION, "completion": _BAD, "label": False, "weight": 0.5},
    ),
    "ranked": (
        {"prompt": "2 + 2 =", "completions": [" 5", " 4", "4!"], "scores": [0.1, 0.9, 0.9]},
        {"prompt": _QUESTION, "completions": [_GOOD, _BAD], "scores": [1, 0]},
    ),
    "demonstrations": (
        {"prompt": "2 + 2 =", "completion": " 4"},
        {"prompt": _QUESTION, "completion": _GOOD},
    ),
    "hh": (
        {"chosen": "\n\nHuman: 2 + 2?\n\nAssistant: 4", "rejected": "\n\nHuman: 2 + 2?\n\nAssistant: 5"},
        {
            "chosen": "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: 1 + 1?\n\nAssistant: 2",
            "rejected": "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: 1 + 1?\n\nAssistant: 3",
        },
    ),
}
