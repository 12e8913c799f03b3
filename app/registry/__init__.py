"""Which bundles are being served: folders of bundles become verified, loaded deployments."""

from app.registry.loading import Loaded, load_bundle
from app.registry.look import version_key
from app.registry.options import RegistryOptions
from app.registry.registry import ModelRegistry
from app.registry.unloaded import Siblings, UnloadedNames
from app.registry.verification import Inspection, inspect_models

__all__ = [
    "Inspection",
    "Loaded",
    "ModelRegistry",
    "RegistryOptions",
    "Siblings",
    "UnloadedNames",
    "inspect_models",
    "load_bundle",
    "version_key",
]
