"""The generated products of the demo: name -> how it is drawn and which defects it can have."""

from collections.abc import Mapping

from moleflow.data.products.defects import (
    chip,
    crack,
    fibre,
    hole,
    removed_part,
    removed_yarn,
    scratch,
    solder,
    stain,
)
from moleflow.data.products.objects import biscuit, board, softgel, washer
from moleflow.data.products.paint import Product
from moleflow.data.products.textures import fabric, mosaic, plank

__all__ = ["PRODUCTS", "Product"]

PRODUCTS: Mapping[str, Product] = {
    "fabric": Product(fabric, {"hole": hole, "missing_yarn": removed_yarn, "stain": stain((0.42, 0.24, 0.10))}),
    "washer": Product(washer, {"chip": chip, "rust": stain((0.55, 0.25, 0.08)), "scratch": scratch}),
    "biscuit": Product(
        biscuit,
        {
            "bite": chip,
            "burnt": stain((0.20, 0.10, 0.05)),
            "crack": crack,
            "fibre": fibre((0.15, 0.25, 0.55)),
        },
    ),
    "mosaic": Product(mosaic, {"crack": crack, "missing_tile": removed_part, "paint": stain((0.75, 0.16, 0.12))}),
    "board": Product(board, {"missing_part": removed_part, "scratch": scratch, "solder": solder}),
    "plank": Product(plank, {"hole": hole, "scratch": scratch, "stain": stain((0.16, 0.12, 0.12))}),
    "softgel": Product(softgel, {"crack": crack, "missing_print": removed_part, "spot": stain((0.15, 0.15, 0.17))}),
}
