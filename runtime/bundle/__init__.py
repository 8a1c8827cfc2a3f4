"""Reading bundles as docs/BUNDLE.md defines them. A leaf: it imports the error tree and the standard library."""
