"""The networks and their weights."""

from unocclude.models.torchvision_ops import make_torchvision_importable

make_torchvision_importable()
