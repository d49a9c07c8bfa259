"""Trials/s of Optuna with SQLite and with its journal: dispatch_optuna.py [SECONDS].

The same as dispatch.c asks of trawl: a trial is asked for, reports three values and is ended.  One process: more of them
make SQLite slower by waiting for each other, and the journal's readers fail on lines that are half written.
"""
import sys
import tempfile
import time
import warnings

import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore")


def storage_of(kind, folder):
    if kind == "SQLite":
        return optuna.storages.RDBStorage(f"sqlite:///{folder}/study.db", engine_kwargs={"connect_args": {"timeout": 60}})
    return optuna.storages.JournalStorage(optuna.storages.JournalFileStorage(f"{folder}/journal.log"))


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10
    for kind in "SQLite", "journal":
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            study = optuna.create_study(storage=storage_of(kind, folder), sampler=optuna.samplers.RandomSampler())
            count, until = 0, time.time() + seconds
            while time.time() < until:
                trial = study.ask()
                trial.suggest_int("seed", 1, 1000000)
                for step in range(3):
                    trial.report(0.5, step)
                study.tell(trial, 0.75)
                count += 1
            print(f"Optuna {optuna.__version__} with {kind}: {count / seconds:.0f} trials/s")


main()
