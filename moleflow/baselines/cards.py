"""What is to be known about each peer: documents/baselines.md is made from it.

``published`` is what the peer's own paper says on MVTec AD, in %, with its own backbone, resolution and training, which
are not those of our table.
"""

from typing import NamedTuple


class Card(NamedTuple):
    """One peer.

    Attributes:
        title: its name, written out.
        idea: one sentence.
        paper: where it comes from.
        published: its number there.
        wrapped: what of it is anomalib's, unchanged; empty: nothing.
        ours: what of it is written here, and how it differs from the paper.
        not_run: why the table of realstream has no row of it; empty: it has one.
    """

    title: str
    idea: str
    paper: str
    published: str
    wrapped: str
    ours: str
    not_run: str = ""


DRAWN = "encoder, decoder, loss; smoothed squared error"

CARDS: dict[str, Card] = {
    "vanilla_ae": Card(
        "Autoencoder", "What was never drawn is drawn badly.", "Hinton and Salakhutdinov, Science 2006; for defects "
        "Bergmann et al., VISAPP 2019", "–", "", DRAWN,
    ),
    "unet_ae": Card(
        "Denoising U-Net", "Noise is taken away; so is what is unknown.", "Ronneberger et al., MICCAI 2015; Vincent et "
        "al., ICML 2008", "–", "", DRAWN,
    ),
    "vae": Card(
        "Variational autoencoder", "The code is a distribution near N(0, I).", "Kingma and Welling, ICLR 2014", "–", "",
        DRAWN,
    ),
    "beta_vae": Card(
        "β-VAE", "The same, held nearer (β = 4).", "Higgins et al., ICLR 2017", "–", "", DRAWN,
    ),
    "wae": Card(
        "Wasserstein autoencoder", "All codes together look like N(0, I).", "Tolstikhin et al., ICLR 2018", "–", "",
        DRAWN,
    ),
    "resnet_ae": Card(
        "Autoencoder, ResNet encoder", "A deeper encoder.", "He et al., CVPR 2016", "–", "",
        f"{DRAWN}; timm's ResNet-18 from scratch unless weights are given",
    ),
    "vgg_ae": Card(
        "Autoencoder, VGG encoder", "A wider encoder.", "Simonyan and Zisserman, ICLR 2015", "–", "",
        f"{DRAWN}; timm's VGG-11 from scratch unless weights are given",
    ),
    "draem": Card(
        "DRAEM", "Learns to find painted defects beside a drawing without them.", "Zavrtanik et al., ICCV 2021",
        "image AUROC 98.0, pixel AUROC 97.3", "both networks, loss, map",
        "painted defects: smooth noise masks; generated textures where no folder of DTD is given",
    ),
    "draem_sevnet": Card(
        "DRAEM with a severity head", "The same, and how strong the defect is.", "after Zavrtanik et al., ICCV 2021",
        "–", "", "all: small networks, focal loss, severity head; textures as for draem",
    ),
    "dinomaly": Card(
        "Dinomaly", "A transformer draws DINOv2's features again through a noisy bottleneck.",
        "Guo et al., CVPR 2025", "image AUROC 99.7, pixel AP 70 (per class)", "model, loss, optimizer, map",
        "constant learning rate; the encoder's weights by the resolver",
        "DINOv2's weights cannot be had offline",
    ),
    "patchcore": Card(
        "PatchCore", "Distance to the nearest of a few kept normal patches.", "Roth et al., CVPR 2022",
        "image AUROC 99.1, pixel AUROC 98.1", "bank, nearest neighbours, image score, map",
        "greedy k-centre coreset, in 64 random projections instead of some 300; the shared features' 3×3 mean has "
        "PatchCore's zeros beyond the frame where `pool_frame: zeros` is given, as here",
    ),
    "spade": Card(
        "SPADE", "Nearest normal images, then nearest patches among them.", "Cohen and Hoshen, 2020",
        "image AUROC 85.5, pixel AUROC 96.5", "", "all: K = 20 images, κ = 1 patch, all stages in one feature",
    ),
    "fastflow": Card(
        "FastFlow", "A convolutional flow over the feature map.", "Yu et al., 2021",
        "image AUROC 99.4, pixel AUROC 98.5", "flow blocks, layer norm, loss, map",
        "one map of all stages instead of three maps",
    ),
    "differnet": Card(
        "DifferNet", "A flow of one vector an image.", "Rudolph et al., WACV 2021", "image AUROC 94.9", "",
        "all: FrEIA couplings of pooled mean, spread and maximum instead of three image sizes; gradients at patches",
    ),
    "cflow": Card(
        "CFlow-AD", "A flow of single patches that is told their place.", "Gudovskiy et al., WACV 2022",
        "image AUROC 98.3, pixel AUROC 98.6", "decoder, positional code, likelihood",
        "one map of all stages; one step a batch; the map is −log p, not anchored to the batch's largest likelihood",
    ),
    "padim": Card(
        "PaDiM", "A Gaussian of patch features at each place.", "Defard et al., ICPR 2020",
        "image AUROC 97.9, pixel AUROC 97.5", "Gaussian, Mahalanobis distance, map", "which 100 channels are drawn",
    ),
    "dfm": Card(
        "DFM", "What principal components of an image's features do not explain.", "Ahuja et al., 2019",
        "image AUROC 96.9, pixel AP 51.1 (as reported on streams)", "PCA, reconstruction error, map",
        "pooling of the features (4×4 patches)",
    ),
    "stfpm": Card(
        "STFPM", "A student learns the teacher's feature maps at three strides.", "Wang et al., BMVC 2021",
        "image AUROC 95.5, pixel AUROC 97.0", "forward, loss, map", "teacher and student are the shared backbone",
    ),
    "efficientad": Card(
        "EfficientAD", "A small teacher, its student, and an autoencoder for what is logical.",
        "Batzner et al., WACV 2024", "image AUROC 98.8 (small)", "all networks, losses, quantiles, maps",
        "generated textures where no folder of Imagenette is given", "its teacher's weights cannot be had offline",
    ),
    "student_teacher": Card(
        "Uninformed students", "Several students, none of which has seen a defect.", "Bergmann et al., CVPR 2020",
        "AUPRO 85.7", "", "all: small students of the shared backbone's stage of stride 8",
    ),
    "coreset_router": Card(
        "Coreset + router", "A small bank of patches for each task, and MoLE-Flow's router.",
        "after Roth et al., CVPR 2022", "–", "", "all; no anomalib",
    ),
    "gaussian_per_task": Card(
        "Gaussian per task", "Low-rank Gaussians at 16×16 places for each task, in closed form.",
        "after Defard et al., ICPR 2020", "–", "", "all; no anomalib, no training",
    ),
    "nearest_prototype": Card(
        "Nearest prototype", "Distance to the task's mean pooled feature.", "Rebuffi et al., CVPR 2017 (for classes)",
        "–", "", "all; no training",
    ),
}  # fmt: skip

PUBLISHED: tuple[tuple[str, str, str, str], ...] = (
    ("DeCoFlow (ECCV 2026)", "98.40 / 58.2", "93.00 / –", "zero forgetting if routed right, 2.27 M numbers a task"),
    ("CADIC (2025)", "97.2 / 58.4", "89.1 / 43.8", "shared coreset; forgets 1.1 / 1.5"),
    ("MoLE-Flow, as first reported", "98.03 / 53.8", "90.7 (ViT) / 30.4 (WRN50)", "zero forgetting"),
    ("DFM", "96.9 / 51.1", "–", ""),
    ("ReplayCAD (2025)", "94.8 / 53.7", "90.3 / 41.5", ""),
    ("UCAD (2024)", "93.0 / 45.6", "87.4 / 30.0", "router not run for its headline"),
    ("DNE (2022)", "87.0 / –", "61.0 / –", ""),
    ("joint PatchCore", "97.8 / 59.4", "91.6 / 44.0", "not continual"),
    ("PatchCore per class", "99.1 / 56.1", "95.1 / 40.1", "not continual"),
    ("Dinomaly, INP-Former per class", "99.7 / 70", "98.9 / 51", "DINOv2 ViT; the ceiling"),
)  # fmt: skip
"""Method, MVTec AD (15 classes, one a task), VisA (12), note: image AUROC / pixel AP in %, from the papers."""
