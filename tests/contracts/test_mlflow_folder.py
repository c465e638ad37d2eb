"""The folder mlflow/ at the root holds loose files and never shadows the library."""

import importlib.util
import json
from pathlib import Path

from relayllm.registry.gates import read_gates

ROOT = Path(__file__).resolve().parents[2]


def test_mlflow_folder_does_not_shadow_the_library():
    assert not (ROOT / "mlflow" / "__init__.py").exists()
    assert not (ROOT / "mlflow.py").exists()
    found = importlib.util.find_spec("mlflow")
    assert found.origin is not None
    assert "site-packages" in found.origin


def test_registry_yaml_fits_its_type():
    assert read_gates(ROOT / "mlflow/registry.yaml").gates.parity.min_share == 1.0


def test_input_example_has_prompts_and_known_params():
    from relayllm.packaging.pyfunc import PARAMS

    example = json.loads((ROOT / "mlflow/input_example.json").read_text())
    assert all(row["prompt"] for row in example["inputs"])
    assert set(example["params"]) <= set(PARAMS)


def test_dvc_yaml_lists_the_code_that_the_package_brings_along():
    import yaml

    from relayllm.packaging.write import CODE

    needs = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["package"]["deps"]
    assert {f"src/relayllm/{name}" for name in CODE} <= set(needs)
