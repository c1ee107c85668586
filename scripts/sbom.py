"""What a crate is made of, as a CycloneDX bill of materials (version 1.5, JSON).

    cargo metadata --format-version 1 --filter-platform TRIPLE | sbom.py CRATE FILE

FILE is what was built. Of the dependencies those are listed that are compiled into the crate: not
those of tests, build scripts and macros. Nothing here depends on when or where it is made.
"""

import hashlib
import json
import sys


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package):
    own = package["source"] is None
    described = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
    }
    if package["license"]:
        # Crates from before SPDX 2.1 divide by a slash what is to be chosen from.
        expression = package["license"].replace("/", " OR ")
        described["licenses"] = [{"expression": expression}]
    if not own and package.get("repository"):
        described["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return described


def linked(node, packages):
    """What ends in a crate's own code: macros are left behind in the compiler."""
    return [
        dependency["pkg"]
        for dependency in node["deps"]
        if any(kind["kind"] is None for kind in dependency["dep_kinds"])
        and not any(
            "proc-macro" in target["kind"] for target in packages[dependency["pkg"]]["targets"]
        )
    ]


def main():
    crate, built = sys.argv[1:]
    metadata = json.load(sys.stdin)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = next(one for one in packages.values() if one["name"] == crate)
    seen, todo = set(), [root["id"]]
    while todo:
        one = todo.pop()
        if one not in seen:
            seen.add(one)
            todo += linked(nodes[one], packages)
    order = sorted(seen, key=lambda one: purl(packages[one]))
    with open(built, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    about = component(root)
    about["hashes"] = [{"alg": "SHA-256", "content": digest}]
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": about},
        "components": [component(packages[one]) for one in order if one != root["id"]],
        "dependencies": [
            {
                "ref": purl(packages[one]),
                "dependsOn": sorted(purl(packages[other]) for other in linked(nodes[one], packages)),
            }
            for one in order
        ],
    }
    json.dump(bill, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
