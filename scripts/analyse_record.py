#!/usr/bin/env python3
"""What an exhaustive record says: which parameters matter, what the model's ranking is worth, how far runs agree.

    analyse_record.py record.zst            parameters and predictions
    analyse_record.py first.db second.db    repeatability of two runs: databases, or records

Needs nothing but Python and, for records, libzstd or the zstd program. The format of a record is in
tests/data/README.md.
"""

import argparse
import collections
import ctypes
import ctypes.util
import json
import math
import sqlite3
import statistics
import subprocess

OK, SEARCH, FINAL = 0, 1, 2
TOLERANCE = 0.01  # of a winner that is as good as another

# What parameters are where the database leaves them out.
LEFT_OUT = {"cluster": 1, "merge": "kernel", "grid_order": "tokens"}


def decompress(data):
    name = ctypes.util.find_library("zstd") or "libzstd.so.1"
    try:
        zstd = ctypes.CDLL(name)
    except OSError:
        return subprocess.run(["zstd", "-dc"], input=data, stdout=subprocess.PIPE, check=True).stdout
    zstd.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
    zstd.ZSTD_decompress.restype = ctypes.c_size_t
    size = zstd.ZSTD_getFrameContentSize(data, ctypes.c_size_t(len(data)))
    if size > 1 << 30:
        raise ValueError("not a record")
    text = ctypes.create_string_buffer(size)
    got = zstd.ZSTD_decompress(text, ctypes.c_size_t(size), data, ctypes.c_size_t(len(data)))
    if got != size:
        raise ValueError("a damaged record")
    return text.raw


class Trial(collections.namedtuple("Trial", "problem variant round median predicted")):
    """A measured time; `problem` and `variant` are tuples of (name, value)."""


def rows_of(table):
    return [tuple(zip(table["names"], row)) for row in table["rows"]]


def read_record(path):
    with open(path, "rb") as file:
        record = json.loads(decompress(file.read()))
    if record["format"] != "mla-tune record 1":
        raise ValueError(f"{path}: format {record['format']} is unknown here")
    problems, variants, rows = rows_of(record["problems"]), rows_of(record["variants"]), record["rows"]
    return [Trial(problems[problem], variants[variant], round_, statistics.median(samples), predicted)
            for problem, variant, round_, verdict, predicted, samples
            in zip(rows["problem"], rows["variant"], rows["round"], rows["verdict"], rows["predicted_us"],
                   rows["samples_us"]) if verdict == OK]


def read_database(path):
    """The newest row of each variant, problem, device and round; predictions are not in there."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    db.row_factory = sqlite3.Row
    problems = {}
    for row in db.execute("SELECT * FROM problems"):
        problems[row["id"]] = tuple((key, row[key]) for key in row.keys() if key != "id")
    trials = {}
    for row in db.execute(
            "SELECT m.problem_id, m.device_id, m.round, m.verdict, m.median_us, v.params FROM measurements m"
            " JOIN variants v ON v.id = m.variant_id WHERE m.evidence = 1 ORDER BY m.id"):
        params = tuple(sorted((LEFT_OUT | json.loads(row["params"])).items()))
        key = row["problem_id"], row["device_id"], row["round"], params
        trials[key] = Trial(problems[row["problem_id"]], params, row["round"], row["median_us"], None)
        if row["verdict"] != OK:
            del trials[key]
    return list(trials.values())


def read(path):
    with open(path, "rb") as file:
        is_database = file.read(15) == b"SQLite format 3"
    return read_database(path) if is_database else read_record(path)


def by_problem(trials, round_):
    groups = collections.defaultdict(list)
    for trial in trials:
        if trial.round == round_:
            groups[trial.problem].append(trial)
    return groups


def in_words(problem):
    p = dict(problem)
    words = f"heads {p['num_heads']} tokens {p['num_tokens']} keys {p['main_len']}+{p['extra_len']}"
    words += f" pages {p['main_page']}/{p['extra_page']}"
    return words + (" ragged" if p["lengths"] == "ragged" else "") + (" warm" if p["warm_cache"] else "")


def ranks(values):
    """1 for the smallest; equal values share the mean of their ranks."""
    order = sorted(range(len(values)), key=values.__getitem__)
    result = [0.0] * len(values)
    at = 0
    while at < len(order):
        end = at
        while end < len(order) and values[order[end]] == values[order[at]]:
            end += 1
        for place in order[at:end]:
            result[place] = (at + end + 1) / 2
        at = end
    return result


def correlation(a, b):
    mean_a, mean_b = statistics.fmean(a), statistics.fmean(b)
    product = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b))
    squares = sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b)
    return product / math.sqrt(squares) if squares > 0 else float("nan")


def spearman(a, b):
    return correlation(ranks(a), ranks(b))


def share_of_variance(levels, logs):
    """How much of the squared deviations from the mean the means of the levels account for."""
    mean = statistics.fmean(logs)
    total = sum((value - mean) ** 2 for value in logs)
    groups = collections.defaultdict(list)
    for level, value in zip(levels, logs):
        groups[level].append(value)
    between = sum(len(group) * (statistics.fmean(group) - mean) ** 2 for group in groups.values())
    return between / total if total > 0 else 0.0


def parameters(trials):
    """Prints, for each parameter, its share of the variance of log time within a problem: of its effect that all
    problems have in common, and of the effect it has in each."""
    groups = by_problem(trials, SEARCH)
    names = [name for name, _ in trials[0].variant]
    centred = []
    for group in groups.values():
        mean = statistics.fmean(math.log(t.median) for t in group)
        centred += [(t, math.log(t.median) - mean) for t in group]
    logs = [value for _, value in centred]
    found = []
    for column, name in enumerate(names):
        levels = [t.variant[column][1] for t, _ in centred]
        if len(set(levels)) < 2:
            continue
        own = statistics.fmean(
            share_of_variance([t.variant[column][1] for t in group], [math.log(t.median) for t in group])
            for group in groups.values())
        means = collections.defaultdict(list)
        best = collections.defaultdict(lambda: float("inf"))
        for level, value in zip(levels, logs):
            means[level].append(value)
        for group in groups.values():
            fastest = min(t.median for t in group)
            here = collections.defaultdict(lambda: float("inf"))
            for t in group:
                level = t.variant[column][1]
                here[level] = min(here[level], t.median / fastest)
            for level, ratio in here.items():
                best[level] = min(best[level], ratio)
        found.append((share_of_variance(levels, logs), own, name, means, best))
    print("Parameters: share of the variance of log time within a problem, all problems alike | each problem by itself")
    print("            (shares overlap: the space is not balanced); then of each value the mean time as a ratio to the")
    print("            mean of all, and how near a variant with it comes to the best of any problem\n")
    for common, own, name, means, best in sorted(found, key=lambda f: -f[1]):
        print(f"  {name:<18} {common:6.1%} | {own:6.1%}")
        for level, values in sorted(means.items(), key=lambda item: str(item[0])):
            print(f"      {level!s:<14} {math.exp(statistics.fmean(values)):6.3f}   {best[level]:.3f}   "
                  f"of {len(values)}")
    print()


def predictions(trials):
    print("Predictions: rank correlation (Spearman) with the measured times; the time of the variant that the model")
    print("             puts first, and of the best of its first five, as ratios to the best\n")
    correlations, regrets, regrets_of_five = [], [], []
    for problem, group in by_problem(trials, SEARCH).items():
        measured = [t.median for t in group]
        predicted = [t.predicted for t in group]
        best = min(measured)
        order = sorted(range(len(group)), key=predicted.__getitem__)
        first = measured[order[0]] / best
        five = min(measured[i] for i in order[:5]) / best
        rho = spearman(predicted, measured) if len(group) > 2 else float("nan")
        correlations.append(rho)
        regrets.append(first)
        regrets_of_five.append(five)
        print(f"  {in_words(problem):<52} {len(group):5d} variants  rho {rho:6.3f}  first {first:6.3f}"
              f"  of five {five:6.3f}  best {best:9.2f} us")
    known = [rho for rho in correlations if not math.isnan(rho)]
    if known:
        print(f"\n  median rho {statistics.median(known):.3f}, geometric mean of first "
              f"{statistics.geometric_mean(regrets):.3f}, of five {statistics.geometric_mean(regrets_of_five):.3f}")
    print()


def winners(trials):
    """By problem: the winner, and every variant's time, of the final round where it was in it."""
    result = {}
    finals, searches = by_problem(trials, FINAL), by_problem(trials, SEARCH)
    for problem in set(finals) | set(searches):
        times = {t.variant: t.median for t in searches[problem]}
        final = {t.variant: t.median for t in finals[problem]}
        times.update(final)
        result[problem] = (min(final or times, key=times.get), times)
    return result


def repeatability(first, second):
    a, b = winners(first), winners(second)
    common = sorted(set(a) & set(b), key=str)
    same, near = 0, 0
    print("Repeatability: of each problem, by what the second run says of the first run's winner\n")
    for problem in common:
        winner, (again, times) = a[problem][0], b[problem]
        ratio = times[winner] / times[again] if winner in times else float("nan")
        same += winner == again
        near += ratio <= 1 + TOLERANCE
        verdict = "same" if winner == again else f"{ratio - 1:+.2%} slower than the new winner"
        print(f"  {in_words(problem):<52} {verdict}")
    if common:
        print(f"\n  {len(common)} problems: {same / len(common):.1%} keep their winner, {near / len(common):.1%} keep it or "
              f"one within {TOLERANCE:.0%}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE", help="one record, or two databases or records")
    files = parser.parse_args().files
    if len(files) > 2:
        parser.error("one file, or two to compare")
    runs = [read(file) for file in files]
    for file, trials in zip(files, runs):
        if not trials:
            parser.error(f"{file} holds no measured time")
    if len(runs) == 2:
        return repeatability(*runs)
    parameters(runs[0])
    if runs[0][0].predicted is not None:
        predictions(runs[0])
    return None


if __name__ == "__main__":
    main()
