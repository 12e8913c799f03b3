"""Which bundles are being served: folders of bundles become verified, loaded deployments."""

from app.registry.inspection import Inspection, inspect_models
from app.registry.loading import Loaded, load_bundle
from app.registry.options import RegistryOptions
from app.registry.registry import ModelRegistry
from app.registry.unloaded import Siblings, UnloadedNames
from app.registry.version_order import version_key

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
