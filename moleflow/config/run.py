"""How the method is run: data, stream, features, optimisation, hardware, output. One flag per field."""

from dataclasses import dataclass, field

from moleflow.config.knobs import knob


@dataclass(frozen=True)
class DataConfig:
    """Which images."""

    dataset: str = knob("mvtec", "Dataset layout: demo, mvtec, visa, mpdd, btad, folder, domains or shifted.")
    data_path: str | None = knob(
        None, "Folder of the dataset (default: $MOLEFLOW_DATA/<dataset>; demo: made in the log folder)."
    )
    img_size: int = knob(224, "Side of the square an image is brought to, in pixels.", low=16, high=4096)
    resize: str = knob(
        "squash",
        "How it is brought there; with fit the backbone sees a rectangle of as many pixels and of the image's shape.",
        choices=("squash", "pad", "crop", "fit"),
    )
    val_fraction: float = knob(0.1, "Share of normal training images held out for thresholds.", low=0, high=0.9)
    max_train_images: int | None = knob(
        None,
        "Normal training images of a class, at most, drawn by the seed before any is held out (default: all).",
        low=1,
    )
    on_bad_image: str = knob("error", "What to do with an image that cannot be read.", choices=("skip", "error"))


@dataclass(frozen=True)
class StreamConfig:
    """Which tasks, in which order."""

    task_classes: tuple[str, ...] = knob((), "Classes in stream order (default: all of the dataset).")
    cl_scenario: str = knob("1-1", "Classes in the first task – classes in each later one, like 1-1, 3-3 or 14-1.")
    task_order: str = knob(
        "given",
        "Order of the classes: given, alphabetical, random:SEED, texture_first (mvtec and demo know their textures), "
        "hard_first or easy_first (by published accuracy: mvtec, visa).",
    )


@dataclass(frozen=True)
class FeatureConfig:
    """The frozen backbone and where its weights and features lie."""

    backbone_name: str = knob("wide_resnet50_2", "timm name of the backbone, or resnet50_v1.")
    backbone_weights: str | None = knob(
        None, "Weights file of the backbone (safetensors, or a .pth that holds tensors only)."
    )
    random_backbone: bool = knob(False, "Use random backbone weights, knowingly.")
    embed_dim: int = knob(768, "Channels D of a patch feature, at most.", low=2)
    feature_grid: int | None = knob(None, "Side of the feature grid (default: img_size / 16).", low=1)
    feature_cache: str | None = knob(None, "Folder of cached features (default: feature_cache in the log folder).")
    cache_features: bool = knob(True, "Keep the features of every image on disk.", "use_feature_cache")
    base_from: str | None = knob(
        None, "Where a pre-trained base comes from: a run's folder, a base.safetensors, or a folder of images."
    )


@dataclass(frozen=True)
class TrainingConfig:
    """How an expert is trained."""

    num_epochs: int = knob(60, "Passes over a task's images.", low=1)
    num_steps: int | None = knob(
        None, "Optimizer steps a task at most: epochs decide for small classes, this for large ones.", low=1
    )
    batch_size: int = knob(16, "Images a step.", low=1)
    lr: float = knob(3e-4, "Peak learning rate of AdamW.", low=0)
    weight_decay: float = knob(1e-4, "Weight decay of AdamW.", low=0)
    warmup_epochs: float = knob(2, "Epochs of linear warm-up before the cosine.", low=0)
    grad_clip: float = knob(1.0, "Largest norm of a step's gradient (0: no clipping).", low=0)
    expert_dtype: str = knob("float16", "Storage type of an expert's weights.", choices=("float16", "float32"))
    false_alarm_rate: float = knob(0.05, "Share of normal images that may exceed a task's threshold.", low=0, high=1)
    calibration_folds: int = knob(
        1,
        "Where fewer than 50 images are held out: parts of the training images, each scored by an expert trained on "
        "the others, for more reference scores (1: none; K makes training K + 1 times as long).",
        low=1,
    )
    calibration_images: str = knob(
        "held_out",
        "Where fewer than 50 images are held out: whose scores set thresholds and the scale of image scores. held_out, "
        "or all: the training images' as well, each compared with what --use_patch_memory keeps of the others.",
        choices=("held_out", "all"),
    )
    seed: int = knob(0, "Seed of everything.", low=0)


@dataclass(frozen=True)
class HardwareConfig:
    """Where it runs."""

    device: str = knob("auto", "cpu, cuda, cuda:N, or auto.")
    amp: bool = knob(False, "Train in bfloat16 where that is safe (log-determinants stay in float32).")
    num_workers: int = knob(2, "Threads that decode images.", low=0)
    expert_memory_mb: int | None = knob(
        None,
        "Memory that experts may take, in MB: those not used for longest are given up and read again when they are "
        "asked for (default: all stay).",
        low=1,
    )


@dataclass(frozen=True)
class OutputConfig:
    """What is written and where."""

    log_dir: str = knob("logs", "Folder of runs.")
    experiment_name: str | None = knob(
        None, "Name of the run's folder (default: the preset or dataset, the backbone and the seed)."
    )
    resume: bool = knob(False, "Continue a run that stopped; start it where there is none.")
    overwrite: bool = knob(False, "Replace an existing run of this name.")
    stop_after: int | None = knob(None, "Pause after this many finished tasks; --resume goes on.", low=1)
    tensorboard: bool = knob(True, "Write TensorBoard scalars.")
    figures: bool = knob(True, "Draw figures and the report.")
    keep_scores: bool = knob(True, "Keep the patch scores of the last evaluation: statistics are made from them.")
    run_diagnostics: bool = knob(False, "Write diagnostics.json: latents, log-dets, gates, routing margins.")


@dataclass(frozen=True)
class RunConfig:
    """Everything about a run that is not the method."""

    data: DataConfig = field(default_factory=DataConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
