"""Keeps the results of experiments, and makes the pages of this folder, and the gallery, from what is kept.

    python docs/results/keep.py runs/reproduce/xor runs/reproduce/copy     # keep these, then make all pages
    python docs/results/keep.py                                            # make the pages

A result consists of ``claims.json`` (as ``src/flossing/experiments/kept/NAME.json``, part of the
package), ``numbers.nc`` and the figure (here, in a folder of that name).
"""

import argparse
import inspect
import json
import shutil
from pathlib import Path
from typing import Any

from flossing.experiments import EXPERIMENTS, experiment
from flossing.runs.directory import write_json

HERE = Path(__file__).resolve().parent
KEPT = HERE.parents[1] / "src" / "flossing" / "experiments" / "kept"

OTHERS = [
    ("demo", "demo", "the demo"),
    ("sweep", "accuracy", "a sweep over delays"),
]
"""Pages written by hand: folder, figure, title."""


def keep(directory: Path) -> None:
    """Copies the result of ``floss reproduce`` from its directory."""
    content = json.loads((directory / "claims.json").read_text(encoding="utf-8"))
    name = content["experiment"]
    if content["quick"]:
        raise SystemExit(f"{directory}: holds a quick version; only full runs are kept.")
    place = HERE / name
    place.mkdir(exist_ok=True)
    shutil.copy(directory / "numbers.nc", place)
    shutil.copy(directory / f"{name}.png", place)
    KEPT.mkdir(exist_ok=True)
    content.get("environment", {})["command"] = f"floss reproduce {name}"  # wherever it was written
    write_json(KEPT / f"{name}.json", content)


def _heading(name: str, title: str) -> str:
    """Name and title; the title alone where it begins with the name."""
    begins = title.replace("-", " ").startswith(name.replace("-", " "))
    return title[0].upper() + title[1:] if begins else f"{name}: {title}"


def page(name: str, kept: dict[str, Any]) -> str:
    """The page of one experiment."""
    about = inspect.cleandoc(experiment(name).__doc__ or "").partition("\n")[2].strip()
    environment = kept.get("environment", {})
    versions = environment.get("versions", {})
    made = f"flossing {versions.get('flossing', '?')}, jax {versions.get('jax', '?')}"
    if commit := environment.get("git_commit"):
        made += f", commit {commit[:8]}"
    lines = [
        f"# {_heading(name, kept['title'])}", "", kept["shows"], "", *([about, ""] if about else []),
        f"Source: {kept['source']}.", "", f"![{kept['title']}]({name}.png)", "",
        "| claim | ours | limits | published | source | holds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for claim in kept["claims"]:
        known = "" if claim["published"] is None else f"{claim['published']:.4g}"
        holds = "yes" if claim["holds"] else "**no**"
        cells = [claim["text"], f"{claim['measured']:.4g}", limits(claim), known, claim["source"]]
        lines.append("| " + " | ".join(c.replace("|", "\\|") for c in [*cells, holds]) + " |")
    settings = ", ".join(f"{k} = {_short(v)}" for k, v in kept["settings"].items())
    lines += [
        "", f"`floss reproduce {name}`: {kept['wall_seconds'] / 60:.1f} minutes ({made}). "
        f"All numbers: [numbers.nc](numbers.nc).", "", f"Settings: {settings}.", "",
    ]  # fmt: skip
    notes = HERE / name / "notes.md"
    if notes.is_file():
        lines += ["## Notes", "", notes.read_text(encoding="utf-8")]
    return "\n".join(lines)


def limits(claim: dict[str, Any]) -> str:
    """Limits in words."""
    low, high = claim["low"], claim["high"]
    if low is not None and high is not None:
        return f"{low:.4g} to {high:.4g}"
    return f"at least {low:.4g}" if low is not None else f"at most {high:.4g}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False).replace('"', "")
    return text if len(text) <= 200 else f"{text[:197]}..."


def index(all_kept: dict[str, dict[str, Any]]) -> str:
    """The page of all experiments."""
    lines = [
        "# Results", "",
        "The full runs of all experiments: what came out beside what was published. Each page is made from",
        "the numbers beside it; `floss reproduce NAME` makes them again, `--quick` a small version.",
        "Minutes are those of the run that is kept, one core or two, mostly beside other work: take",
        "them as upper limits.", "",
        "| experiment | what it shows | claims that hold | minutes |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    total = held = 0
    for name, kept in all_kept.items():
        count, holds = len(kept["claims"]), sum(claim["holds"] for claim in kept["claims"])
        total, held = total + count, held + holds
        minutes = f"{kept['wall_seconds'] / 60:.0f}"
        lines.append(
            f"| [{name}]({name}/README.md) | {kept['shows']} | {holds} of {count} | {minutes} |"
        )
    missing = [name for name in EXPERIMENTS if name not in all_kept]
    lines += ["", f"Together {held} of {total} claims hold. Besides: [the demo](demo/README.md), "
              "[a sweep over delays](sweep/README.md)."]  # fmt: skip
    if missing:
        lines += ["", f"No full run is kept of: {', '.join(missing)}."]
    return "\n".join([*lines, ""])


def gallery(all_kept: dict[str, dict[str, Any]]) -> str:
    """The site's page of all figures; its links lead somewhere without Sphinx, too."""
    lines = [
        "# Gallery", "",
        "What was published, made again, and what else we asked. [Results](results/README.md) has all",
        "claims in one table, each page its numbers and what we learned.", "",
        "::::{grid} 1 2 2 3", ":gutter: 3", "",
    ]  # fmt: skip
    for name, kept in all_kept.items():
        count, holds = len(kept["claims"]), sum(claim["holds"] for claim in kept["claims"])
        lines += _card(f"results/{name}", name, kept["title"], f"{holds} of {count} claims hold")
    for name, figure, title in OTHERS:
        lines += _card(f"results/{name}", figure, title, None)
    names = [*all_kept, *(name for name, *_ in OTHERS)]
    pages = [f"{name} <results/{name}/README>" for name in names]
    lines += ["::::", "", "```{toctree}", ":hidden:", "", "all claims <results/README>", *pages]
    return "\n".join([*lines, "```", ""])


def _card(folder: str, figure: str, title: str, verdict: str | None) -> list[str]:
    title = title[0].upper() + title[1:]
    lines = [":::{grid-item-card}", f"[![{title}]({folder}/{figure}.png)]({folder}/README.md)", ""]
    lines += [f"[{title}]({folder}/README.md)", *(["", verdict] if verdict else []), ":::", ""]
    return lines


def main() -> None:
    """Keeps what is named and makes the pages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("directory", nargs="*", type=Path, help="of a full floss reproduce")
    for directory in parser.parse_args().directory:
        keep(directory)
    all_kept = {}
    for name in EXPERIMENTS:
        if (file := KEPT / f"{name}.json").is_file():
            all_kept[name] = json.loads(file.read_text(encoding="utf-8"))
            (HERE / name / "README.md").write_text(page(name, all_kept[name]), encoding="utf-8")
    (HERE / "README.md").write_text(index(all_kept), encoding="utf-8")
    (HERE.parent / "gallery.md").write_text(gallery(all_kept), encoding="utf-8")


if __name__ == "__main__":
    main()
