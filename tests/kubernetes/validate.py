"""Validates Kubernetes objects, strictly, against the schemas of the newest version that the
validator has and of the two before.

    validate.py OBJECTS.json

OBJECTS.json is one list. Prints a line for each fault; fails if there is one. Custom resources have
no schema here: custom_resources.mjs is for those.
"""

import json
import sys

import kubernetes_validate
from kubernetes_validate import utils

VERSIONS = 3


def cached(function):
    """The schemas of one version are read for every object otherwise, megabytes each time."""
    kept = {}

    def read(*arguments):
        if arguments not in kept:
            kept[arguments] = function(*arguments)
        return kept[arguments]

    return read


def main():
    utils.schema_contents = cached(utils.schema_contents)
    with open(sys.argv[1], encoding="utf-8") as file:
        objects = json.load(file)
    versions = utils.all_versions()
    # Each version is there twice: as it is, and strict.
    newest = list(dict.fromkeys(utils.major_minor(version) for version in versions))[-VERSIONS:]
    faults = 0
    for version in newest:
        for one in objects:
            name = f"{one['kind']} {one['metadata']['name']}"
            try:
                kubernetes_validate.validate(one, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                faults += 1
                place = ".".join(map(str, error.path))
                print(f"{version}: {name}: {place}: {error.message}"[:2000])
            except (utils.SchemaNotFoundError, utils.InvalidSchemaError) as error:
                faults += 1
                print(f"{version}: {name}: {error.message}")
    print(f"{len(objects)} objects, versions {', '.join(newest)}: {faults} faults")
    return faults > 0


if __name__ == "__main__":
    sys.exit(main())
