"""The registry of backbones: their stages as values, readable without Keras.

The Streamlit process lists and draws backbones and may not import Keras, so a `Backbone` holds descriptions only;
`tlcore.models.build` turns one into a Keras model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

from tlcore.errors import UserError, unknown_name

Kind = Literal["conv", "dense", "stem", "residual", "application"]
HostKind = Literal["keras", "preset", "saved_model"]


@dataclass(frozen=True)
class Stage:
    """A named block of layers that is loaded, frozen and trained as one.

    Args:
        name: Unique within its backbone.
        kind: ``conv`` (3×3 convolution, ReLU, 2×2 max-pooling), ``dense`` (fully connected, ReLU), ``stem`` (3×3
            convolution, normalisation, ReLU, 2×2 max-pooling), ``residual`` (two 3×3 convolutions with normalisation
            and a way around them; the sides halve where the width changes), or ``application`` (a part of a network
            of `keras.applications`).
        width: Output channels or units.
    """

    name: str
    kind: Kind
    width: int


@dataclass(frozen=True)
class Application:
    """A network of `keras.applications`, and where it is cut into stages.

    Args:
        constructor: Its name in `keras.applications`.
        scaling: What its `preprocess_input` does to bytes: ``caffe`` (BGR, channel means subtracted), ``tf`` ([-1, 1])
            or ``torch`` (channel means subtracted, divided by the channels' deviations).
        files: Names of the files of its ImageNet weights without the output layers, the one that Keras downloads
            first.
        folder: Where Keras downloads them from, below the address of all its networks.
        top1: Published ImageNet top-1 accuracy of these weights, in [0, 1], single crop at `Backbone.trained_size`.
        top1_source: Who published that.
        licence: Licence of the ImageNet weights.
        digest: MD5 or SHA-256 of the first of the files as Keras publishes it; empty where it publishes none.
        arguments: Further arguments of the constructor.
        ends: For every stage but the last, the layer whose output ends it; ``Add#3`` is the third layer or operation
            of class ``Add``, for the names that Keras numbers anew with every model.
    """

    constructor: str
    scaling: Literal["caffe", "tf", "torch"]
    files: tuple[str, ...]
    folder: str
    top1: float
    top1_source: str
    licence: str
    digest: str = ""
    arguments: tuple[tuple[str, bool | float], ...] = ()
    ends: tuple[str, ...] = ()


@dataclass(frozen=True)
class HostModel:
    """A model on the host's own disk, as `tlcore.models.named` describes it.

    Args:
        path: Its `.keras` file, or the folder of a Keras Hub preset or a SavedModel.
        sha256: Hash of the file, or of the folder's files, when it was looked into.
        scaling: As in `Application`, or ``unit`` for pixels in [0, 1], or ``bytes`` for 0 to 255.
        side: Side of the pictures that it takes.
        licence: Licence of its weights.
        cuts: For every stage but the last, the position among the model's layers that ends it.
        kind: What it is kept as. Of a ``saved_model`` there is only the finished graph.
    """

    path: str
    sha256: str
    scaling: str
    side: int
    licence: str
    cuts: tuple[int, ...]
    kind: HostKind = "keras"


@dataclass(frozen=True)
class Backbone:
    """A network without its output layer.

    Args:
        name: What the command line, the URL and records call it.
        title: What a page calls it.
        sentence: What it is, in one sentence.
        stages: From the input to the features.
        normalization: Kind of its normalisation layers; only ``batch`` has running statistics.
        pooling: How a head sees a stage's maps: ``flatten`` (every place of the map is a feature) or ``average`` (one
            feature a channel).
        student: Name of the smaller backbone that distillation teaches; empty for none.
        min_size: Smallest side of its images.
        input_size: Side of the images when the source has none of its own, as ImageNet.
        trained_size: Side of the images that its published weights were trained on; 0 without such weights.
        channels: Channels that its images must have, or None for any number.
        paper: Where it comes from, if anywhere.
        application: What it is in `keras.applications`, or None for this project's own and a host's.
        host: Where it is on this host's disk, or None.
    """

    name: str
    title: str
    sentence: str
    stages: tuple[Stage, ...]
    normalization: Literal["none", "group", "layer", "batch"] = "none"
    pooling: Literal["flatten", "average"] = "flatten"
    student: str = ""
    min_size: int = 1
    input_size: int = 32
    trained_size: int = 0
    channels: int | None = None
    paper: str = ""
    application: Application | None = None
    host: HostModel | None = None

    @property
    def family(self) -> Literal["small", "application"]:
        """``small`` for this project's own nets, ``application`` for networks that others have built and trained."""
        return "small" if self.application is None and self.host is None else "application"

    @property
    def fixed(self) -> bool:
        """Whether its stages can only be used as the source has them: neither trained nor started afresh."""
        return self.host is not None and self.host.kind == "saved_model"

    @property
    def licence(self) -> str:
        """Licence of its published weights; empty for this project's own nets."""
        known = self.application or self.host
        return "" if known is None else known.licence

    @property
    def external_source(self) -> str:
        """The source whose weights it comes with: ImageNet's, or a host's own; empty for this project's own nets."""
        return "" if self.family == "small" else "imagenet" if self.host is None else "host_model"

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages, from the input to the features."""
        return tuple(stage.name for stage in self.stages)

    @property
    def feature_width(self) -> int:
        """Number of features that the head sees."""
        return self.stages[-1].width

    def feature_width_at(self, cut: int, input_shape: tuple[int, int, int]) -> int:
        """Number of features that a head behind the first stages would see.

        Args:
            cut: Number of first stages, 0 for the images themselves.
            input_shape: Height, width, channels of the images.

        Returns:
            The width after flattening or averaging.
        """
        if self.pooling == "average":
            return self.stages[cut - 1].width if cut else input_shape[-1]
        return prod(shape_after(self.stages[:cut], input_shape))

    def check_input(self, input_shape: tuple[int, int, int]) -> None:
        """Say whether images fit this network.

        Args:
            input_shape: Height, width, channels of the images.

        Raises:
            UserError: If they are too small or have another number of channels.
        """
        height, width, channels = input_shape
        if self.channels not in (None, channels):
            raise UserError(f"{self.name} needs images of {self.channels} channels, not {channels}")
        if min(height, width) < self.min_size:
            raise UserError(
                f"{self.name} needs images of at least {self.min_size}×{self.min_size} pixels, not {height}×{width}"
            )


def shape_after(stages: tuple[Stage, ...], input_shape: tuple[int, int, int]) -> tuple[int, ...]:
    """Shape of what some first stages of one of this project's own nets make of an image.

    Args:
        stages: The first stages, possibly none; of any kind but ``application``.
        input_shape: Height, width, channels of the images.

    Returns:
        (height, width, channels) or (units,).
    """
    height, width, channels = input_shape
    units = 0
    for stage in stages:
        if stage.kind == "dense":
            units = stage.width
        elif stage.kind in ("conv", "stem"):
            pooled = 2 if min(height, width) > 1 else 1
            height, width, channels = height // pooled, width // pooled, stage.width
        else:
            stride = 2 if stage.width != channels else 1
            height, width, channels = -(-height // stride), -(-width // stride), stage.width
    return (units,) if units else (height, width, channels)


def _mini_resnet(name: str, title: str, sentence: str, normalization: Literal["group", "batch"]) -> Backbone:
    return Backbone(
        name,
        title,
        sentence,
        (
            Stage("stem", "stem", 16),
            Stage("block1", "residual", 32),
            Stage("block2", "residual", 64),
            Stage("block3", "residual", 128),
        ),
        normalization=normalization,
        pooling="average",
        student="cnn_tiny",
        paper="He et al. 2016" if normalization == "batch" else "He et al. 2016; Wu & He 2018",
    )


def _application(
    name: str,
    title: str,
    sentence: str,
    stages: tuple[tuple[str, int, str], ...],
    application: Application,
    *,
    paper: str,
    normalization: Literal["none", "layer", "batch"] = "batch",
    min_size: int = 32,
    input_size: int = 96,
    trained_size: int = 224,
) -> Backbone:
    """Describe a network of `keras.applications`; every stage is (name, width, the layer that ends it)."""
    return Backbone(
        name,
        title,
        sentence,
        tuple(Stage(stage, "application", width) for stage, width, _ in stages),
        normalization=normalization,
        pooling="average",
        min_size=min_size,
        input_size=input_size,
        trained_size=trained_size,
        channels=3,
        paper=paper,
        application=replace(application, ends=tuple(end for _, _, end in stages[:-1])),
    )


_KERNELS = "weights_tf_dim_ordering_tf_kernels"
_KERAS = "keras.io/api/applications"


def _mobilenet_v2(alpha: float, widths: tuple[int, ...], top1: float, top1_source: str) -> Backbone:
    names = ("stem", "blocks1_2", "blocks3_5", "blocks6_9", "blocks10_12", "blocks13_15", "top")
    ends = ("expanded_conv_project_BN", *(f"block_{last}_add" for last in (2, 5, 9, 12, 15)), "")
    return _application(
        f"mobilenet_v2_{round(100 * alpha):03}",
        f"MobileNetV2 {alpha:.2f}" if alpha != 1 else "MobileNetV2",
        f"Made for telephones, with {alpha:.0%} of the channels: the lightest way to use what ImageNet has taught."
        if alpha != 1
        else "Made for telephones: inverted bottlenecks with thin layers between them.",
        tuple(zip(names, widths, ends, strict=True)),
        Application(
            "MobileNetV2",
            scaling="tf",
            arguments=(("alpha", alpha),),
            files=(f"mobilenet_v2_{_KERNELS}_{alpha}_224_no_top.h5", f"mobilenet_v2_{alpha}_224_no_top.weights.h5"),
            folder="mobilenet_v2",
            top1=top1,
            top1_source=top1_source,
            licence="Apache 2.0",
        ),
        paper="Sandler et al. 2018",
    )


class Backbones(Mapping[str, Backbone]):
    """Networks by name: the registered ones, then those that whoever runs this host has named.

    Args:
        registered: The networks that are always there.
    """

    def __init__(self, registered: Iterable[Backbone]) -> None:
        self._registered = {backbone.name: backbone for backbone in registered}

    def __getitem__(self, name: str) -> Backbone:
        """A network."""
        return self._registered[name] if name in self._registered else self._of_host()[name]

    def __iter__(self) -> Iterator[str]:
        """All names."""
        return iter((*self._registered, *self._of_host()))

    def __len__(self) -> int:
        """Number of networks."""
        return len(self._registered) + len(self._of_host())

    def _of_host(self) -> dict[str, Backbone]:
        from tlcore.models.named import host_backbones  # which describes them with this module's values

        return {name: one for name, one in host_backbones().items() if name not in self._registered}


# None of this project's own nets but the one that is there to show it has running statistics: with momentum .99 they
# make a short scratch run look like chance.
BACKBONES: Mapping[str, Backbone] = Backbones(
    (
        Backbone(
            "cnn_small",
            "Small CNN",
            "Two convolutions and one fully connected stage: trains in seconds.",
            (Stage("conv1", "conv", 16), Stage("conv2", "conv", 32), Stage("dense1", "dense", 128)),
            student="cnn_tiny",
        ),
        Backbone(
            "cnn_tiny",
            "Tiny CNN",
            "Two thin convolutions and a narrow dense stage, a tenth of the small CNN: what can be distilled?",
            (Stage("conv1", "conv", 8), Stage("conv2", "conv", 16), Stage("dense1", "dense", 24)),
        ),
        Backbone(
            "cnn_shallow",
            "Shallow CNN",
            "One convolution and one fully connected stage, as many weights as in the small CNN: what does depth add?",
            # 64 units, not 128: without a second pooling the fully connected stage sees twice as many inputs.
            (Stage("conv1", "conv", 16), Stage("dense1", "dense", 64)),
            student="cnn_tiny",
        ),
        Backbone(
            "cnn_deep",
            "Deeper CNN",
            "Four convolutions and one fully connected stage: more stages to cut between.",
            (
                Stage("conv1", "conv", 16),
                Stage("conv2", "conv", 32),
                Stage("conv3", "conv", 32),
                Stage("conv4", "conv", 64),
                Stage("dense1", "dense", 128),
            ),
            student="cnn_tiny",
        ),
        Backbone(
            "mlp",
            "Fully connected net",
            "Two fully connected stages and no convolution: what is left to transfer?",
            (Stage("dense1", "dense", 256), Stage("dense2", "dense", 128)),
        ),
        _mini_resnet(
            "mini_resnet",
            "Mini ResNet",
            "A stem and three residual blocks with group normalisation: the modern shape, small enough for a laptop.",
            "group",
        ),
        _mini_resnet(
            "mini_resnet_bn",
            "Mini ResNet, batch norm",
            "The same with batch normalisation: its running statistics move unless they are frozen too.",
            "batch",
        ),
        _mobilenet_v2(0.35, (8, 8, 16, 24, 32, 56, 1280), 0.603, "tensorflow/models, slim/nets/mobilenet"),
        _mobilenet_v2(0.5, (8, 16, 16, 32, 48, 80, 1280), 0.654, "tensorflow/models, slim/nets/mobilenet"),
        _mobilenet_v2(1.0, (16, 24, 32, 64, 96, 160, 1280), 0.713, _KERAS),
        _application(
            "efficientnet_v2_b0",
            "EfficientNetV2 B0",
            "Found by a search for speed and accuracy together: the most accurate here for its size.",
            (
                ("stem", 16, "block1a_project_activation"),
                ("block2", 32, "block2b_add"),
                ("block3", 48, "block3b_add"),
                ("block4", 96, "block4c_add"),
                ("block5", 112, "block5e_add"),
                ("block6", 192, "block6h_add"),
                ("top", 1280, ""),
            ),
            Application(
                "EfficientNetV2B0",
                scaling="torch",
                # Inside the model Keras would scale the pixels in half precision.
                arguments=(("include_preprocessing", False),),
                files=("efficientnetv2-b0_notop.h5",),
                folder="efficientnet_v2",
                digest="893217f2bb855e2983157299931e43ff",
                top1=0.787,
                top1_source=_KERAS,
                licence="Apache 2.0",
            ),
            paper="Tan & Le 2021",
        ),
        _application(
            "densenet121",
            "DenseNet-121",
            "Every layer sees the outputs of all layers before it in its block.",
            (
                ("stem", 64, "pool1"),
                ("block1", 128, "pool2_pool"),
                ("block2", 256, "pool3_pool"),
                ("block3", 512, "pool4_pool"),
                ("block4", 1024, ""),
            ),
            Application(
                "DenseNet121",
                scaling="torch",
                files=(f"densenet121_{_KERNELS}_notop.h5",),
                folder="densenet",
                digest="30ee3e1110167f948a6b9946edeeb738",
                top1=0.75,
                top1_source=_KERAS,
                licence="BSD 3-clause",
            ),
            paper="Huang et al. 2017",
        ),
        _application(
            "resnet50",
            "ResNet-50",
            "Fifty layers with ways around them: for years the network that transfer learning was measured with.",
            (
                ("stem", 64, "pool1_pool"),
                ("conv2", 256, "conv2_block3_out"),
                ("conv3", 512, "conv3_block4_out"),
                ("conv4", 1024, "conv4_block6_out"),
                ("conv5", 2048, ""),
            ),
            Application(
                "ResNet50",
                scaling="caffe",
                files=(f"resnet50_{_KERNELS}_notop.h5",),
                folder="resnet",
                digest="4d473c1dd8becc155b73f8504c6f6626",
                top1=0.749,
                top1_source=_KERAS,
                licence="MIT",
            ),
            paper="He et al. 2016",
        ),
        _application(
            "xception",
            "Xception",
            "Inception taken to its end: every convolution looks at one channel, then mixes channels.",
            (
                ("entry", 728, "Add#3"),
                ("middle1", 728, "Add#7"),
                ("middle2", 728, "Add#11"),
                ("exit1", 1024, "Add#12"),
                ("exit2", 2048, ""),
            ),
            Application(
                "Xception",
                scaling="tf",
                files=(f"xception_{_KERNELS}_notop.h5",),
                folder="xception",
                digest="b0042744bf5b25fce3cb969f33bebb97",
                top1=0.79,
                top1_source=_KERAS,
                licence="MIT",
            ),
            paper="Chollet 2017",
            min_size=71,
            trained_size=299,
        ),
        _application(
            "inception_v3",
            "Inception V3",
            "Branches of several filter sizes side by side, put together again and again.",
            (
                ("stem", 192, "MaxPooling2D#2"),
                ("mixed0_2", 288, "mixed2"),
                ("mixed3_5", 768, "mixed5"),
                ("mixed6_7", 768, "mixed7"),
                ("mixed8", 1280, "mixed8"),
                ("mixed9_10", 2048, ""),
            ),
            Application(
                "InceptionV3",
                scaling="tf",
                files=(f"inception_v3_{_KERNELS}_notop.h5",),
                folder="inception_v3",
                digest="bcbd6486424b2319ff4ef7d526e38f63",
                top1=0.779,
                top1_source=_KERAS,
                licence="Apache 2.0",
            ),
            paper="Szegedy et al. 2016",
            min_size=75,
            trained_size=299,
        ),
        _application(
            "convnext_tiny",
            "ConvNeXt tiny",
            "A convolutional network with a vision transformer's proportions, and no batch normalisation.",
            (
                ("stem", 96, "convnext_tiny_stem"),
                ("stage1", 96, "Add#3"),
                ("stage2", 192, "Add#6"),
                ("stage3", 384, "Add#15"),
                ("stage4", 768, ""),
            ),
            Application(
                "ConvNeXtTiny",
                scaling="torch",
                arguments=(("include_preprocessing", False),),
                files=("convnext_tiny_notop.h5",),
                folder="convnext",
                digest="d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
                top1=0.813,
                top1_source=_KERAS,
                licence="MIT",
            ),
            paper="Liu et al. 2022",
            normalization="layer",
        ),
        _application(
            "vgg16",
            "VGG-16",
            "Thirteen plain 3×3 convolutions in five blocks, no normalisation: simple and heavy.",
            (
                ("block1", 64, "block1_pool"),
                ("block2", 128, "block2_pool"),
                ("block3", 256, "block3_pool"),
                ("block4", 512, "block4_pool"),
                ("block5", 512, ""),
            ),
            Application(
                "VGG16",
                scaling="caffe",
                files=(f"vgg16_{_KERNELS}_notop.h5",),
                folder="vgg16",
                digest="6d6bbae143d832006294945121d1f1fc",
                top1=0.713,
                top1_source=_KERAS,
                licence="CC BY 4.0",
            ),
            paper="Simonyan & Zisserman 2015",
            normalization="none",
        ),
    )
)


def get_backbone(name: str) -> Backbone:
    """Find a backbone by name.

    Args:
        name: A key of `BACKBONES`.

    Returns:
        The backbone's description.

    Raises:
        UserError: If there is none of that name; the message holds the near names.
    """
    try:
        return BACKBONES[name]
    except KeyError:
        raise UserError(unknown_name("backbone", name, BACKBONES)) from None
