"""The gold metric of the embedded starter: did the answer sort the digits?

The task: a prompt reads ``sort 50723`` (five to seven digits, repeats allowed) and its one right answer is
the same digits in ascending order, ``02357``.  Every answer is thus exactly right or not, with no scorer in
between, and a change in the share of right answers measures nothing but the objective that was trained.
"""


def right_answer(prompt: str) -> str:
    """The digits of the prompt in ascending order: ``sort 50723`` gives ``02357``."""
    return "".join(sorted(filter(str.isdigit, prompt)))


def is_right(prompt: str, completion: str) -> bool:
    """Whether a completion (special tokens removed) is exactly the right answer, white space around it aside."""
    return completion.strip() == right_answer(prompt)
