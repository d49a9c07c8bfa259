"""Optuna on the problems of search.c, whose lines it reads: search_optuna.py [SEEDS] <LINES.  The same lines."""
import math
import statistics
import sys
import warnings

import optuna

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)
pi = math.pi


def sphere(x):
    return sum((10 * v - 3) ** 2 for v in x)


def rosenbrock(x):
    a = [4 * v - 2 for v in x]
    return sum(100 * (q - p * p) ** 2 + (1 - p) ** 2 for p, q in zip(a, a[1:]))


def branin(x):
    a, b = 15 * x[0] - 5, 15 * x[1]
    return (b - 5.1 / (4 * pi**2) * a**2 + 5 / pi * a - 6) ** 2 + 10 * (1 - 1 / (8 * pi)) * math.cos(a) + 10


def ackley(x):
    a = [40 * v - 15 for v in x]
    return (20 + math.e - 20 * math.exp(-0.2 * math.sqrt(sum(v * v for v in a) / len(a)))
            - math.exp(sum(math.cos(2 * pi * v) for v in a) / len(a)))


def rastrigin(x):
    a = [10.24 * v - 4 for v in x]
    return sum(10 + v * v - 10 * math.cos(2 * pi * v) for v in a)


def hartmann6(x):
    weight = [1, 1.2, 3, 3.2]
    a = [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
    p = [[0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886], [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
         [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.665], [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381]]
    return -sum(w * math.exp(-sum(s * (v - at) ** 2 for s, v, at in zip(ak, x, pk)))
                for w, ak, pk in zip(weight, a, p))


def mixed(x):
    a, b = x[0], x[1]
    return (a ^ 2) + 0.5 * ((a + b) % 4) + sum(4 * (v - 0.2 * (a + 1)) ** 2 for v in x[2:])


def rest(x):
    return 1 + 9 * sum(x[1:]) / (len(x) - 1)


def zdt1(x):
    return x[0], rest(x) * (1 - math.sqrt(x[0] / rest(x)))


def zdt2(x):
    return x[0], rest(x) * (1 - (x[0] / rest(x)) ** 2)


def zdt3(x):
    f = x[0] / rest(x)
    return x[0], rest(x) * (1 - math.sqrt(f) - f * math.sin(10 * pi * x[0]))


def dtlz2(x):
    g = 1 + sum((v - 0.5) ** 2 for v in x[2:])
    a, b = x[0] * pi / 2, x[1] * pi / 2
    return g * math.cos(a) * math.cos(b), g * math.cos(a) * math.sin(b), g * math.sin(a)


def of(function, count, categories=0):
    def value(trial):
        return function([trial.suggest_categorical(f"x{i}", [0, 1, 2, 3]) if i < categories
                         else trial.suggest_float(f"x{i}", 0, 1) for i in range(count)])
    return value


def conditional(trial):
    if trial.suggest_categorical("x0", [0, 1]) == 0:
        return 0.5 + (trial.suggest_float("x1", 0, 1) - 0.2) ** 2
    return 10 * (trial.suggest_float("x2", 0, 1) - 0.7) ** 2 + (trial.suggest_float("x3", 0, 1) - 0.3) ** 2


PROBLEMS = {  # function: (objectives, reference of the hypervolume)
    "sphere": (of(sphere, 5), 1, 0), "rosenbrock": (of(rosenbrock, 4), 1, 0), "branin": (of(branin, 2), 1, 0),
    "hartmann6": (of(hartmann6, 6), 1, 0), "ackley": (of(ackley, 5), 1, 0), "rastrigin": (of(rastrigin, 5), 1, 0),
    "mixed": (of(mixed, 5, 2), 1, 0), "conditional": (conditional, 1, 0), "zdt1": (of(zdt1, 10), 2, 11),
    "zdt2": (of(zdt2, 10), 2, 11), "zdt3": (of(zdt3, 10), 2, 11), "dtlz2": (of(dtlz2, 7), 3, 2.5),
}


def volume(points, reference):
    """By slices, as pareto_hypervolume."""
    if len(reference) == 1:
        return reference[0] - min([p[0] for p in points] + [reference[0]])
    points, total = sorted(points, key=lambda p: p[-1]), 0
    for i, p in enumerate(points):
        top = points[i + 1][-1] if i + 1 < len(points) else reference[-1]
        if top > p[-1]:
            total += (top - p[-1]) * volume([q[:-1] for q in points[:i + 1]], reference[:-1])
    return total


def front(points):
    return [p for p in points if not any(q != p and all(a <= b for a, b in zip(q, p)) for q in points)]


def search(name, kind, trials, at_a_time, seed):
    function, objectives, reference = PROBLEMS[name]
    sampler = (optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=at_a_time > 1)
               if kind == "tpe" else optuna.samplers.NSGAIISampler(seed=seed))
    study = optuna.create_study(directions=["minimize"] * objectives, sampler=sampler)
    values = []
    while len(values) < trials:
        asked = [study.ask() for _ in range(min(at_a_time, trials - len(values)))]
        measured = [function(trial) for trial in asked]
        for trial, value in zip(asked, measured):
            study.tell(trial, value)
        values += measured
    if objectives == 1:
        return min(values)
    return volume(front([v for v in values if max(v) < reference]), [reference] * objectives)


def main():
    """Reads lines of search.c on stdin, to do the same."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    for line in sys.stdin:
        name, kind, trials, at_a_time = line.split()[:4]
        found = sorted(search(name, kind, int(trials), int(at_a_time), s) for s in range(seeds))
        print(name, kind, trials, at_a_time, f"{statistics.median(found):.6g}", f"{found[seeds // 4]:.6g}",
              f"{found[3 * seeds // 4]:.6g}", flush=True)


main()
