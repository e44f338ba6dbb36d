"""Build classifiers from timm backbones, and save and load them."""
