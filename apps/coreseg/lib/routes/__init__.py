"""Routes of this app, which stand before MONAI Label's own."""
