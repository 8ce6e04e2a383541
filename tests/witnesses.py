def witnessed(file: dict[str, Any], witness: dict[str, str], label: str | None = None, suffix: str = "") -> Loss | None:
    """The batch of one example that a witness describes; None where it names what is no input (a batch mean)."""
    known = {k.removesuffix(suffix): Fraction(v) for k, v in witness.items() if k.endswith(suffix) and is_number(v)}
    if any("(" in k or "sum of" in k for k in known):
        return None
    roles = ("chosen", "rejected") if file["feedback"] == "paired" else ("completion", "mismatched")
    example: dict[str, Any] = {"label": label} if label else {}
    for role in roles:
        n = known.get(f"{role}.length", Fraction(1))
        if n.denominator != 1:
            raise AssertionError(f"a witness with {n} tokens")
        words = {"logp": "log π", "ref": "log ref"}
        sums = {key: known.get(f"{role}.{word}", known.get(f"{role}.mean {word}", Fraction(-1)) * (n if f"{role}.mean {word}" in known else 1)) for key, word in words.items()}
        example[role] = {key: [mpf(total.numerator) / total.denominator / int(n)] * int(n) for key, total in sums.items()}
    example |= {c: number(known.get(c, known.get(f"example.{c}", Fraction(1)))) for c in file["columns"]}
    return Loss(file, {p: number(known.get(p, Fraction(str(DEFAULTS[p])))) for p in file["parameters"]}, [example])


def number(x: Fraction) -> mpf:
    return mpf(x.numerator) / x.denominator


def is_number(text: str) -> bool:
    try:
        Fraction(text)
    except ValueError:
        return False
    return True


def confirm(file: dict[str, Any], found: Finding) -> bool:
    """Checks a refutation's numbers; whether it had any that could be checked."""
    witness = dict(found.witness)
    name = found.check.split(".")[0]
    label = next((w for w in (found.check.split(".")[-1], found.scope) if w in ("desirable", "undesirable")), None)
    if file["feedback"] == "labelled" and label is None:
        return False
    if name == "direction":
        role = found.check.split(".")[1]
        for suffix, sign in ((" (up)", -1), (" (down)", 1)):
            loss = witnessed(file, witness, label, suffix)
            if loss is None:
                return False
            place = role if file["feedback"] == "paired" else "completion"
            assert sign * slope(loss, 0, place, 0) > 0, (suffix, slope(loss, 0, place, 0))
        return True
    loss = witnessed(file, witness, label)
    if loss is None or not witness:
        return False
    match name:
        case "log_partition_cancels":
            change = Loss(file, loss.parameters, loss.batch, shift=mpf(1)).total() - loss.total()
            assert abs(change) > mpf(10) ** -20
        case "symmetry":
            (example,) = loss.batch
            swapped = Loss(file, loss.parameters, [{**example, "chosen": example["rejected"], "rejected": example["chosen"]}])
            assert abs(mp.exp(-loss.total()) + mp.exp(-swapped.total()) - 1) > mpf(10) ** -20
        case "domain":
            with pytest.raises((ZeroDivisionError, ValueError, AssertionError)):
                value = loss.total()
                assert not isinstance(value, mp.mpc)
                assert mp.isfinite(value)
        case _:
            return False
    return True


