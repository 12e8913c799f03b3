"""Copying bundles from elsewhere: folders, archives, and places on the network."""
