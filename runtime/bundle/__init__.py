"""Reading bundles as docs/BUNDLE.md defines them. A leaf: of ours it imports only the error tree."""
