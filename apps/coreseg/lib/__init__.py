"""What the CORE-Seg app adds to MONAI Label; everything about images and models is in coreseg_core."""
