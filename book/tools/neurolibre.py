"""The layout that NeuroLibre reads: content/, binder/, paper.md, paper.bib, and the package."""

import shutil
from pathlib import Path

import yaml
from building import flattened, stage, write_explore_data

# As in the repository: the packages, what they read, and the book's own Sphinx extensions.
BESIDE = (
    "CITATION.cff",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "plasticity",
    "book/companion",
    "book/records",
    "book/tools/extensions",
)
EXTENSIONS = ("addresses", "docstrings", "mends")


def export(root: Path, executed: Path) -> bool:
    """Write _build/neurolibre from the notebooks in ``executed``."""
    target = root / "_build" / "neurolibre"
    shutil.rmtree(target, ignore_errors=True)
    content, binder = target / "content", target / "binder"
    stage(root, executed, content, static="../_static")
    if not write_explore_data(content / "static" / "explore" / "data.js"):
        return False
    (content / "_config.yml").write_text(configuration(root), encoding="utf-8")
    for name in BESIDE:
        if (root / name).is_file():
            shutil.copy(root / name, target / name)
        else:
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(root / name, target / name, ignore=ignore)
    binder.mkdir()
    shutil.copy(root / "requirements.lock", binder / "requirements.txt")
    environment = yaml.safe_load((root / "environment.yml").read_text(encoding="utf-8"))
    python = environment["dependencies"][0].replace("=", "-")
    install = "#!/bin/bash\npip install --no-deps --editable .\n"
    (binder / "runtime.txt").write_text(f"{python}\n", encoding="utf-8")
    (binder / "postBuild").write_text(install, encoding="utf-8")
    (binder / "postBuild").chmod(0o755)
    shutil.copy(root / "book" / "references.bib", target / "paper.bib")
    (target / "paper.md").write_text(paper(root), encoding="utf-8")
    print(f"the export is in {target.relative_to(root)}")
    return True


def configuration(root: Path) -> str:
    """_config.yml with the book's own extensions found beside it, as no one sets PYTHONPATH."""
    made = yaml.safe_load(flattened((root / "_config.yml").read_text(encoding="utf-8")))
    sphinx = made["sphinx"]
    others = [name for name in sphinx["extra_extensions"] if name not in EXTENSIONS]
    sphinx["extra_extensions"] = others
    sphinx["local_extensions"] = dict.fromkeys(EXTENSIONS, "../book/tools/extensions")
    return yaml.safe_dump(made, sort_keys=False)


def paper(root: Path) -> str:
    """A summary for the journal: who and what from CITATION.cff, the text from README.md.

    The journal wants persons with affiliations, which whoever submits must fill in.
    """
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    head = {
        "title": citation["title"],
        "tags": ["three-factor plasticity", "meta-learning", "recurrent networks"],
        "authors": [{"name": author["name"]} for author in citation["authors"]],
        "bibliography": "paper.bib",
    }
    readme = (root / "README.md").read_text(encoding="utf-8")
    introduction = readme.split("\n## ")[0].split("\n", 1)[1].strip()
    front = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n# Summary\n\n{introduction}\n\nIt accompanies @maoutsa2025.\n"
