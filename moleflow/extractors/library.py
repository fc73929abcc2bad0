"""timm, for the modules that need it; others do not wait for it.

It imports torchvision, so the way around what may be wrong with that one comes first.
"""

from moleflow.utils.collecting import not_collecting
from moleflow.utils.torchvision_shim import import_torchvision

import_torchvision()

with not_collecting():
    import timm
    from timm.models.efficientnet import EfficientNetFeatures
    from timm.models.eva import Eva
    from timm.models.mobilenetv3 import MobileNetV3Features
    from timm.models.vision_transformer import VisionTransformer

__all__ = ["EfficientNetFeatures", "Eva", "MobileNetV3Features", "VisionTransformer", "timm"]
