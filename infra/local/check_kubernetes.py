"""Whether infra/kubernetes is what Kubernetes and KEDA take: every document against their schemas, offline.

The schemas are in tests/fixtures/kubernetes-schemas.json. That names are the same in all files, that settings exist and that
stops have the time they need, tests/infra.rs looks at.
"""

import json
import sys
from pathlib import Path

import yaml
from jsonschema import Draft7Validator

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "infra" / "kubernetes"


def main():
    schemas = json.loads((ROOT / "tests" / "fixtures" / "kubernetes-schemas.json").read_text())
    found, checked = [], 0
    listed = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())["resources"]
    found += [f"kustomization.yaml: {name} is not there" for name in listed if not (MANIFESTS / name).exists()]
    for path in sorted(MANIFESTS.glob("*.yaml")):
        if path.name == "kustomization.yaml":
            continue
        for document in yaml.safe_load_all(path.read_text()):
            kind = f"{document['apiVersion']}/{document['kind']}"
            if kind not in schemas["kinds"]:
                found.append(f"{path.name}: {kind} has no schema here")
                continue
            schema = {"$ref": f"#/$defs/{schemas['kinds'][kind]}", "$defs": schemas["$defs"]}
            for error in Draft7Validator(schema).iter_errors(document):
                found.append(f"{path.name}: {'.'.join(map(str, error.absolute_path))}: {error.message}")
            checked += 1
    if found:
        sys.exit("\n".join(found))
    print(f"infra/kubernetes: {checked} objects as Kubernetes and KEDA have them")


if __name__ == "__main__":
    main()
