"""Which bundles are being served: folders of bundles become verified, loaded deployments."""
