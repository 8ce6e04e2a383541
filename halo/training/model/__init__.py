"""The model that is trained: loaded, adapted, and updated."""
