"""The pieces that `tlcore.export.script` puts together: plain Keras as a teacher would hand it out.

Names after a dollar sign are filled in. A piece knows nothing of the others but the names they define.
"""

from __future__ import annotations

HEADER = '''\
r"""$title: $about

$sentence

A stand-alone script of plain Keras for seed $seed of an experiment. It draws the labelled images, the first weights and
the batches as the engine does, so it comes out at the engine's test accuracy, give or take a picture or two.

$usage

The engine repeats it, beside other strategies and with more seeds, with

$command

or in the app at

    $link
"""

# Written by tlcore $version on Python $python for these versions; others should do, to other digits:
# pip install $packages
$notes'''

SETTINGS = """\
SEED = $seed  # of the labelled images and the order of the batches
"""

STREAM = """\
FIRST_SEED = $stream  # of the first weights$why
"""

NOT_THE_SOURCES = ": not the source model's, or the new head would be the one it started from"

BUDGET_SETTINGS = """\
CLASSES = $classes
LABELS = $labels  # labelled target images a class; nothing else of the target is learned from
VALIDATION = $validation  # a class of them, that the $setting is chosen on
OBSERVED = $observed  # images a class that the engine watches the training on: kept out of $out_of
"""

OWN_STREAM = """\
OWN_SEED = $own  # of the first weights of the network that the stages are copied from
"""

TRAINING_SETTINGS = """\
BATCH_SIZE = $batch_size
RATES = $rates  # learning rates to choose from
# What happens, in order: $what.
PHASES = $phases
"""

PHASE_WORDS = "optimiser steps, factor on the learning rate, stages that may not change"
LOW_RANK_WORDS = "optimiser steps and factor on the learning rate"
CYCLE_WORDS = "steps, factor on the rate, what is frozen, factors of stages, the course of the rate"

RANK = """\
RANK = $rank  # columns of the thin matrices whose product is added to a kernel
"""

DISTILLATION = """\
TEMPERATURE, WEIGHT = $temperature, $weight  # how soft the teacher's outputs are made, and what they count for
"""

LOSS = """\
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
"""

TRANSFER_SETTINGS = """\
SOURCE_CLASSES = $source_classes
"""

TRANSFERRED = """\
# Stages that start from $origin.
TRANSFERRED = $transferred
"""

FROM_THE_SOURCE = "the source's weights"
FROM_ITS_OWN = "those of a network that was trained on the target's own labels"
FROM_ITS_SCALE = "random weights of the same mean and spread as the source's"

STAGE_RATES = """\
# Further factors on the rate: what lies lower is more general, and moves less.
STAGE_RATES = $factors
"""

STAGES = """\
# The network's stages, and the layer that ends each; the last one ends with the network.
STAGES = $stages
"""

SETTINGS_WORDS = "Everything that the experiment fixes. Change a number here and run the cells again."
DATA_WORDS = (
    "The images as the engine reads them, and the draw of the few that have labels: the same ones with the same seed."
)
NETWORK_WORDS = (
    "The network and its first weights. Each stage draws from a stream of its own, so the head starts alike whatever "
    "is loaded elsewhere."
)
SOURCE_WORDS = "What the network learned before: read from a file, or trained here first, which takes minutes."
IMAGENET_WORDS = "What the network learned from ImageNet: downloaded by Keras, or read from a file."
TRAINING_WORDS = "What is frozen, at what rate the rest learns, and the order of the batches."
RUN_WORDS = "From the labelled images to the test accuracy. The test images are read once, at the end."

CHECKPOINT_SETTING = """\
CHECKPOINT = ""  # file of the source model's weights, from data/checkpoints; empty: it is trained here first
"""

WEIGHTS_SETTING = """\
WEIGHTS = ""  # file of ImageNet weights without the output layers; empty: Keras downloads them
"""

FILE_SETTING = """\
${role}_DATA = ""  # file of the $name's images and labels: see `load_$name` below
"""

# --- data -------------------------------------------------------------------------------------------------------------

KERAS_DATA = '''\
def load_$role():
    """$title.

$sentence
    """
    (x_train, y_train), (x_test, y_test) = keras.datasets.$name.load_data()
    return as_images(x_train), y_train.reshape(-1), as_images(x_test), y_test.reshape(-1)
'''

SOME_CLASSES_DATA = '''\
def load_$role():
    """$title.

$sentence
    """
    (x_train, y_train), (x_test, y_test) = keras.datasets.$name.load_data()
    kept = np.array($kept)  # classes of the whole data set; they become 0, 1, ...
    arrays = []
    for x, y in ((x_train, y_train.reshape(-1)), (x_test, y_test.reshape(-1))):
        rows = np.isin(y, kept)
        arrays += [as_images(x[rows]), np.searchsorted(kept, y[rows])]
    return tuple(arrays)
'''

FILE_DATA = '''\
def load_$role(path):
    """$title.

$sentence

    The engine makes it, so it comes from a file. This writes the file, where the engine is installed:

        from tlcore.data import load
        d = load("$name")
        numpy.savez("$name.npz", x_train=d.x_train, y_train=d.y_train, x_test=d.x_test, y_test=d.y_test)
    """
    with np.load(path) as file:
        return tuple(file[name] for name in ("x_train", "y_train", "x_test", "y_test"))
'''

SEED_FILE_DATA = '''\
def load_$role(path):
    """$title.

$sentence

    There are no test pictures apart: each seed draws its own. This writes this seed's file, where the pictures are:

        from tlcore.data import load
        from tlcore.data.labels import draw_test, split_labels
        d = load("$name")
        test = draw_test(d, $seed)
        watched = split_labels(d, $labels, $validation, $seed, test).observation
        rest = numpy.setdiff1d(numpy.arange(len(d.y_train)), [*test, *watched])
        x, y = d.x_train, d.y_train
        numpy.savez("$name.npz", x_train=x[rest], y_train=y[rest], x_test=x[test], y_test=y[test])
    """
    with np.load(path) as file:
        return tuple(file[name] for name in ("x_train", "y_train", "x_test", "y_test"))
'''

DIGITS_DATA = '''\
def load_$role():
    """$title: scikit-learn's 1,797 digits, enlarged to the 20x20 box in 28x28 pixels that MNIST's have."""
    digits = load_digits()
    images = np.zeros((len(digits.images), 28, 28, 1), dtype=np.uint8)
    for image, small in zip(images, np.rint(digits.images * (255 / 16)).astype(np.uint8), strict=True):
        image[4:24, 4:24, 0] = np.asarray(Image.fromarray(small).resize((20, 20), Image.Resampling.BICUBIC))
    # One image in three of each class is kept for the test, always the same ones.
    drawing = np.random.default_rng(0)
    test = np.zeros(len(images), dtype=bool)
    for label in range(10):
        rows = drawing.permutation(np.flatnonzero(digits.target == label))
        test[rows[: len(rows) // 3]] = True
    return images[~test], digits.target[~test], images[test], digits.target[test]
'''

AS_IMAGES = '''\
def as_images(x):
    """Height, width and channels, also where there is one channel only."""
    return x if x.ndim == 4 else x[..., None]
'''

ADAPT = '''\
def fit_to_network(images):
    """$adaptation.

    The architecture that is given sets the input, and every arm gets the same images.
    """
$steps    return images
'''

TO_GREY = """\
    grey = images.astype("float32") @ np.array([0.299, 0.587, 0.114], dtype="float32")
    images = np.rint(grey).astype(np.uint8)[..., None]
"""

TO_COLOUR = """\
    images = np.repeat(images, 3, axis=3)
"""

RESIZE = """\
    pictures = (Image.fromarray(image.squeeze()) for image in images)
    resized = [np.asarray(picture.resize(($width, $height), Image.Resampling.BILINEAR)) for picture in pictures]
    images = np.stack(resized).reshape(-1, $height, $width, $channels)
"""

WRONG_RANGE = '''\
def wrongly_scaled(images):
    """The accident: pictures that `scaled` makes numbers from 0 to $most of, where the source learned from 0 to 1."""
    return images $how np.float32(255)
'''

SCALED = '''\
def scaled(images):
    """Bytes as numbers from 0 to 1: the range that the source's weights have learned from, for every image alike."""
    return images.astype("float32") / 255
'''

DRAW = '''\
def draw_labels(y):
    """Choose the labelled images: as many of each class, and with one seed those of 10 a class are among those of 20.

    The classes take turns, so the first VALIDATION * CLASSES rows hold VALIDATION of each.
    """
    drawing, watching = np.random.default_rng([SEED, 1]), np.random.default_rng(20_000_003)
    chosen = []
    for label in range(CLASSES):
        pool = np.sort(watching.permutation(np.flatnonzero(y == label))[OBSERVED:])
        chosen.append(drawing.permutation(pool)[:LABELS])
    return np.stack(chosen, axis=1).reshape(-1)
'''

ORDER = '''\
def batch_order(count, batch_size, steps, seed):
    """Rows of each step's batch: one random pass over all images after another. Shape (steps, batch size)."""
    drawing = np.random.default_rng([seed, 2])
    passes = [drawing.permutation(count) for _ in range(-(-steps * batch_size // count))]
    return np.concatenate(passes)[: steps * batch_size].reshape(steps, batch_size)
'''

BATCHES = '''\
def fit(model, images, labels, order):
    """One optimiser step for each row of the order."""
    batches = ((scaled(images[rows]), labels[rows]) for rows in order)
    model.fit(batches, steps_per_epoch=len(order), shuffle=False, verbose=0)
'''

CHANGED_BATCHES = '''\
def changed(images, how, seed, first):
    """Move images by up to two pixels each way, and mirror every other one for "shift_flip"."""
    if how == "none":
        return images
    count, height, width, _ = images.shape
    # One draw for each place in the order of images, `first` being the place of the first image here.
    bits = np.random.PCG64([seed, 3])
    bits.advance(3 * first)
    draws = np.random.Generator(bits).random((count, 3))
    down, right = (np.floor(draws[:, axis] * 5).astype(int) for axis in (0, 1))
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    rows = down[:, None] + np.arange(height)
    columns = right[:, None] + np.arange(width)
    if how == "shift_flip":
        columns = np.where(draws[:, 2:] < 0.5, columns[:, ::-1], columns)
    return padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def fit(model, images, labels, order, how="none", seed=0, done=0):
    """One optimiser step for each row of the order, `done` steps after the first of all."""
    batches = (
        (changed(scaled(images[rows]), how, seed, (done + step) * len(rows)), labels[rows])
        for step, rows in enumerate(order)
    )
    model.fit(batches, steps_per_epoch=len(order), shuffle=False, verbose=0)
'''

# --- network ----------------------------------------------------------------------------------------------------------

BUILD = '''\
def $name(classes):
    """$backbone.

$about
    The layer (or block) that holds a stage's weights has the stage's name: so it is loaded and frozen.
    """
    inputs = x = keras.Input($shape)
$stages    # Logits, not probabilities: the loss takes the softmax, which is safer with rounding.
    return keras.Model(inputs, layers.Dense(classes, name="head")(x))
'''

APPLICATION = '''\
def network(side, weights=None):
    """$backbone without its output layers, from pixels between 0 and 1.

$about
    """
    pixels = keras.Input((side, side, 3))
$scaling    return keras.applications.$constructor(
        input_tensor=x,
        input_shape=(side, side, 3),
        include_top=False,
        pooling="avg",
        weights=weights,
$arguments    )
'''

# What `preprocess_input` does to bytes, for pixels between 0 and 1.
SCALINGS = {
    "tf": """\
    x = layers.Rescaling(2.0, offset=-1.0)(pixels)
""",
    "torch": """\
    # The means and deviations of ImageNet's red, green and blue.
    x = layers.Rescaling([1 / 0.229, 1 / 0.224, 1 / 0.225], [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])(pixels)
""",
    "caffe": """\
    # Blue, green, red, each less its mean over ImageNet.
    x = layers.Rescaling(255.0, offset=[-103.939, -116.779, -123.68])(keras.ops.flip(pixels, axis=-1))
""",
}

CUT = '''\
def stages(whole):
    """Cut the network into one model a stage, so that a stage is loaded, frozen and trained by its name."""
$calm    ends = [whole.input, *($end for end in list(STAGES.values())[:-1]), whole.output]
    return [keras.Model(ends[at], ends[at + 1], name=name) for at, name in enumerate(STAGES)]
'''

CALM = """\
    for layer in whole.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.9  # with Keras's .99 a short run ends before its statistics mean anything
        elif isinstance(layer, layers.Dropout):
            layer.rate = 0.0  # some of these networks drop whole branches, also in stages that are frozen
"""

END_BY_NAME = "whole.get_layer(end).output"
END_BY_NUMBER = "end_of(whole, end)"

END_OF = '''\
def end_of(whole, end):
    """Output of the layer of a name or, for "Add#3", of the third of a class: Keras numbers some names ever further."""
    kind, _, number = end.partition("#")
    if not number:
        return whole.get_layer(end).output
    return [one for one in whole.operations if type(one).__name__ == kind][int(number) - 1].output
'''

BUILD_OF_STAGES = '''\
def build(classes):
    """The network in its stages, with random weights and a new output layer."""
    inputs = x = keras.Input($shape)
    for stage in stages(network($side)):
        x = stage(x)
$scale    # Logits, not probabilities: the loss takes the softmax, which is safer with rounding.
    return keras.Model(inputs, layers.Dense(classes, name="head")(x))
'''

UNIT_SIZE = """\
    x = layers.Rescaling(1.0, name="unit_size")(x)
"""

CONV = """\
    x = layers.Conv2D($width, 3, padding="same", activation="relu", name="$name")(x)
"""

POOL = """\
    x = layers.MaxPooling2D()(x)
"""

FLATTEN = """\
    x = layers.Flatten()(x)
"""

DENSE = """\
    x = layers.Dense($width, activation="relu", name="$name")(x)
"""

BLOCK = """\
    x = $kind(x.shape[1:], $width, "$name")(x)
"""

AVERAGE = """\
    x = layers.GlobalAveragePooling2D()(x)
"""

BLOCKS = '''\
def convolution(x, width, size=3, stride=1):
    """A convolution and its normalisation, which makes a bias needless."""
    x = layers.Conv2D(width, size, stride, padding="same", use_bias=False)(x)
    return $normalization(x)


def stem(shape, width, name):
    """A first block: convolution, normalisation, ReLU, pooling."""
    inputs = keras.Input(shape)
    x = layers.Activation("relu")(convolution(inputs, width))
    return keras.Model(inputs, layers.MaxPooling2D()(x), name=name)


def residual(shape, width, name):
    """Two convolutions and a way around them; where the width changes, the sides halve (He et al. 2016)."""
    inputs = keras.Input(shape)
    changes = shape[-1] != width
    stride = 2 if changes else 1
    x = layers.Activation("relu")(convolution(inputs, width, stride=stride))
    x = convolution(x, width)
    around = convolution(inputs, width, size=1, stride=stride) if changes else inputs
    return keras.Model(inputs, layers.Activation("relu")(layers.Add()([x, around])), name=name)
'''

BATCH_NORMALIZATION = "layers.BatchNormalization(momentum=0.9)"
GROUP_NORMALIZATION = "layers.GroupNormalization(8)"

FIRST_WEIGHTS = '''\
def draw_first_weights(model, seed):
    """Random kernels from a stream for each stage, so that whatever is loaded elsewhere, the head starts alike."""
    for layer in model.layers:
        drawing = np.random.default_rng([seed, zlib.crc32(layer.name.encode())])
        for variable in layer.weights:
            if variable.path.endswith("kernel"):  # all others keep Keras's zeros and ones
                fan_in, fan_out = int(np.prod(variable.shape[:-1])), variable.shape[-1]
                # He et al. 2015 before a ReLU, Glorot & Bengio 2010 before the softmax.
                limit = np.sqrt(6 / (fan_in + fan_out if layer.name == "head" else fan_in))
                variable.assign(drawing.uniform(-limit, limit, variable.shape).astype("float32"))
'''

FIRST_WEIGHTS_BY_CHANNEL = '''\
def draw_first_weights(model, seed):
    """Random kernels from a stream for each stage, so that whatever is loaded elsewhere, the head starts alike."""
    for layer in model.layers:
        drawing = np.random.default_rng([seed, zlib.crc32(layer.name.encode())])
        for variable in layer.weights:
            if variable.path.endswith("kernel"):  # all others keep Keras's constants
                # Each output of a depthwise convolution sees one channel.
                seen = variable.shape[:2] if "depthwise" in variable.path else variable.shape[:-1]
                fan_in, fan_out = int(np.prod(seen)), variable.shape[-1]
                # He et al. 2015 before a ReLU, Glorot & Bengio 2010 before the softmax.
                limit = np.sqrt(6 / (fan_in + fan_out if layer.name == "head" else fan_in))
                variable.assign(drawing.uniform(-limit, limit, variable.shape).astype("float32"))
'''

# --- the source model -------------------------------------------------------------------------------------------------

LOAD_CHECKPOINT = '''\
def load_checkpoint(path):
    """Arrays by stage, as the engine keeps them: ``conv1.0`` is a kernel, ``conv1.1`` its bias."""
    weights = {}
    with np.load(path) as file:
        for name in file.files:
            weights.setdefault(name.rpartition(".")[0], []).append(file[name])
    return weights
'''

LOAD_IMAGENET = '''\
def load_imagenet(path):
    """What the network has learned from ImageNet, by stage; the size of the pictures changes no weight."""
    whole = network($side, weights=path or "imagenet")
    return {stage.name: stage.get_weights() for stage in stages(whole)}
'''

PRETRAIN = '''\
def pretrain($arguments):
    """Train the same network on the source and give its weights by stage."""
    images, labels, x_test, y_test = load_source($arguments)
    model = build(SOURCE_CLASSES)
    draw_first_weights(model, seed=$source_seed)
    model.compile(keras.optimizers.Adam(), LOSS)
$rows    parts = np.split(order, $parts)
    for part, rows in enumerate(parts):
        # The rate falls to a tenth. A rate is a variable of the optimiser: setting it needs no compiling.
        model.optimizer.learning_rate = $rate * (1 - 0.9 * part / len(parts))
        fit(model, images, labels, rows$changes)
    print(f"source model: test accuracy {accuracy(model, x_test, y_test):.4f}")
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
'''

ALL_ROWS = """\
    order = batch_order(len(images), $batch_size, $steps, seed=$source_seed)
"""

SOME_ROWS = """\
    some = np.random.default_rng([$source_seed, 4]).permutation(len(images))[:$images]
    order = some[batch_order(len(some), $batch_size, $steps, seed=$source_seed)]
"""

# --- training ---------------------------------------------------------------------------------------------------------

FREEZE = '''\
def freeze(model, frozen):
    """Say what training may change. It counts from the next `compile` on."""
    for layer in model.layers:
        layer.trainable = layer.name not in frozen
'''

FREEZE_STATISTICS = '''\
def freeze(model, frozen):
    """Say what training may change. It counts from the next `compile` on."""
    for layer in model.layers:
        layer.trainable = layer.name not in frozen
$why        for inner in getattr(layer, "layers", ()):
            if isinstance(inner, layers.BatchNormalization):
                inner.trainable = $learns
$drift'''

BY_NAME = """\
        # Normalisation is frozen by name. Where it is trainable, `fit` moves its running statistics with every batch,
        # even if the block was called with `training=False`: Keras 3 passes on what the outer model was called with.
"""

LEARNS_ALWAYS = """\
        # Normalisation learns, and moves its running statistics, in frozen stages too: so fastai has it.
"""

DRIFTS = """\
        # The accident: gains and offsets are frozen like all weights, but normalisation itself is not, so `fit` moves
        # its running statistics with every batch.
"""

ONLY_STATISTICS = """\
                inner.gamma.trainable = inner.beta.trainable = layer.name not in frozen
"""

LOW_RANK = '''\
def add_low_rank(model):
    """Fix all stages and add to each kernel a product of two thin matrices, which is what learns (Hu et al. 2022)."""
    for layer in model.layers:
        if layer.name == "head":
            continue
        for inner in getattr(layer, "layers", [layer]):
            if isinstance(inner, layers.BatchNormalization):
                inner.trainable = False  # or it would move its running statistics
                continue
            if hasattr(inner, "enable_lora") and inner.weights:
                inner.enable_lora(RANK)
            for variable in inner.trainable_variables:  # Keras leaves biases to learn: the paper does not
                variable.trainable = variable.name.startswith("lora")
    added = [variable for variable in model.trainable_variables if variable.name.startswith("lora")]
    for place, variable in enumerate(added):
        # The first factor is random and the second zero: so the product starts at nothing.
        if variable.name.endswith("_a"):
            drawing = np.random.default_rng([SEED, zlib.crc32(b"lora_"), place])
            limit = np.sqrt(6 / np.prod(variable.shape[:-1]))
            variable.assign(drawing.uniform(-limit, limit, variable.shape).astype("float32"))
'''

SAME_SCALE = '''\
def draw_same_scale(model, source):
    """Normal weights with the mean and the spread of each of the source's kernels: its scale, nothing it learned."""
    for name in TRANSFERRED:
        drawing = np.random.default_rng([SEED, zlib.crc32(name.encode()), 5])
        layer = model.get_layer(name)
        layer.set_weights(
            [
                drawing.normal(old.mean(), old.std(), old.shape).astype("float32") if old.ndim > 1 else fresh
                for fresh, old in zip(layer.get_weights(), source[name], strict=True)
            ]
        )
'''

SCALE_FEATURES = '''\
def scale_features(model, images):
    """Bring the features to unit size.

    Statistics that fit no data make random features huge or next to nothing, and no head learns from such numbers.
    """
    unit = model.get_layer("unit_size")
    seen = keras.Model(model.input, unit.input).predict(scaled(images), verbose=0)
    unit.scale = 1 / max(float(np.sqrt(np.square(seen).mean())), 1e-12)
'''

RECALIBRATE = '''\
def recalibrate(model, images, order):
    """Measure the running statistics anew, as plain means over some batches of the images that were trained on."""
    inside = [inner for layer in model.layers for inner in getattr(layer, "layers", ())]
    moving = [inner for inner in inside if isinstance(inner, layers.BatchNormalization) and inner.trainable]
    for count, rows in enumerate(order, start=1):
        for layer in moving:
            layer.momentum = (count - 1) / count
        model(scaled(images[rows]), training=True)
'''

TRAIN_WHOLE = '''\
def $name(${first}images, labels, rows, rate):
    """$sentence

    The same rows of the labelled images as those that the arm learns from, and as many steps.
    """
    model = build(CLASSES)
    draw_first_weights(model, $seed)
$load$freeze    order = rows[batch_order(len(rows), BATCH_SIZE, sum(phase["steps"] for phase in PHASES), SEED)]
    model.compile(optimizer_for(model, rate), LOSS)
$built    fit(model, images, labels, order$changes)
$recalibrate    return $result
'''

TEACHER = "The teacher: the source's network with a new head, everything trained."
ITS_OWN = "Weights by stage of the same network, trained on the target's own labels from other first weights."

ALL_LEARNS = """\
    freeze(model, ())
"""

DISTILLED = '''\
def distilled(truth, logits):
    """Learn from the labels and from a teacher's outputs (Hinton et al. 2015); a row is a label and those outputs."""
    taught = truth[:, 1:] / TEMPERATURE
    apart = keras.ops.softmax(taught) * (keras.ops.log_softmax(taught) - keras.ops.log_softmax(logits / TEMPERATURE))
    soft = TEMPERATURE**2 * keras.ops.mean(keras.ops.sum(apart, axis=-1))
    return (1 - WEIGHT) * LOSS(truth[:, 0], logits) + WEIGHT * soft


def with_outputs(labels, teacher, images):
    """Labels with the teacher's outputs for the same pictures, numbers from 0 to 1, beside them."""
    outputs = teacher.predict(images, batch_size=256, verbose=0)
    return np.concatenate([labels[:, None], outputs], axis=1).astype("float32")
'''

ADAM = '''\
def optimizer_for(model, rate):
    """A new Adam, without memory of any phase before."""
    return keras.optimizers.Adam(rate)
'''

CYCLED_ADAMS = '''\
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that rises and falls along two half cosines (Smith 2018)."""

    def __init__(self, highest, steps, rise, start, end):
        self.highest, self.steps, self.rise, self.start, self.end = highest, steps, rise, start, end

    def __call__(self, step):
        """The rate of a step; the first rate is the highest divided by `start`, the last divided by `end`."""
        position = keras.ops.cast(step, "float32") / self.steps
        fallen = (position - self.rise) / (1 - self.rise)
        up = 1 / self.start + (1 - 1 / self.start) * (1 - keras.ops.cos(np.pi * position / self.rise)) / 2
        down = 1 / self.end + (1 - 1 / self.end) * (1 + keras.ops.cos(np.pi * fallen)) / 2
        return self.highest * keras.ops.where(position < self.rise, up, down)


def optimizer_for(model, rate, phase):
    """A new Adam for each stage, at the stage's own rate, which rises and falls over the phase."""

    def adam(factor):
        return keras.optimizers.Adam(OneCycle(rate * phase["rate"] * factor, phase["steps"], **phase["cycle"]))

    head = adam(1.0)
    by_stage = {name: adam(factor) for name, factor in phase["stage_rates"].items()}
    # By all weights of a stage: a stage that is frozen hands out none, also where its normalisation learns.
    chosen = {id(one): by_stage.get(layer.name, head) for layer in model.layers for one in layer.weights}
    return keras.optimizers.MultiOptimizer(lambda variable: chosen[id(variable)])
'''

ADAMS = '''\
def optimizer_for(model, rate):
    """A new Adam for each stage, at the stage's own rate."""
    head = keras.optimizers.Adam(rate)
    by_stage = {name: keras.optimizers.Adam(rate * factor) for name, factor in STAGE_RATES.items()}
    chosen = {id(one): by_stage.get(layer.name, head) for layer in model.layers for one in layer.trainable_variables}
    return keras.optimizers.MultiOptimizer(lambda variable: chosen[id(variable)])
'''

TRAIN = '''\
def train(${first}images, labels, rows, rate):
    """Go through all phases with some rows of the labelled images.

    Args:
$source_line        images: The labelled images.
        labels: Their classes.
        rows: Rows to train on.
        rate: Learning rate of the head.
    """
$teacher    model = $build(CLASSES)
    draw_first_weights(model, FIRST_SEED)
$load$prepare    order = rows[batch_order(len(rows), BATCH_SIZE, sum(phase["steps"] for phase in PHASES), SEED)]
$targets    done = 0
    for phase in PHASES:
$compile        fit(model, images, $truth, order[done : done + phase["steps"]]$changes)
        done += phase["steps"]
$recalibrate    return model
'''

COMPILE = """\
        freeze(model, phase["frozen"])
        # Compile after every change of what is frozen. `fit` traces the network once, with the flags of that moment:
        # without this line Keras on TensorFlow goes on training what it trained before, and says nothing. And with a
        # fresh optimiser: an old one knows neither the new weights nor the new rate, only the moments of the old.
        model.compile($optimizer, $loss)
$built"""

COMPILE_LOW_RANK = """\
        # Compile after every change of what is trained: `fit` traces the network with the flags of that moment.
        model.compile($optimizer, $loss)
$built"""

COMPILE_ONCE = """\
        freeze(model, phase["frozen"])
        if not done:
            # The accident: later phases need this line too. `fit` has traced the network with the first phase's flags:
            # Keras on TensorFlow goes on training what it trained then, at the same rate, and says nothing.
            model.compile($optimizer, $loss)
$built"""

BUILT = """\
# Or `fit` would trace this deep network twice: to make the optimiser's variables, and to train.
model.optimizer.build(model.trainable_variables)
"""

LOAD_OWN = """\
    own = trained_on_its_own(images, labels, rows, rate)
    for name in TRANSFERRED:
        model.get_layer(name).set_weights(own[name])
"""

LOAD_SAME_SCALE = """\
    draw_same_scale(model, source)
"""

ADD_LOW_RANK = """\
    add_low_rank(model)
"""

SCALE_RANDOM = """\
    scale_features(model, images[VALIDATION * CLASSES :])
"""

LEARN_FROM = """\
    teacher = fine_tuned(source, images, labels, rows, rate)
"""

WITH_OUTPUTS = """\
    truth = with_outputs(labels, teacher, scaled(images))
"""

WITH_OUTPUTS_OF_CHANGED = """\
    # Every picture as often as it is seen, changed as it then is: so the teacher sees what the student sees.
    seen = order.reshape(-1)
    images, order = changed(images[seen], "$how", SEED, first=0), np.arange(len(seen)).reshape(order.shape)
    truth = with_outputs(labels[seen], teacher, scaled(images))
"""

MEASURE_ANEW = """\
    # Every row about twice.
    recalibrate(model, images, order[: max(8, 2 * -(-len(rows) // BATCH_SIZE))])
"""

LOAD_STAGES = """\
    for name in TRANSFERRED:
        model.get_layer(name).set_weights(source[name])
"""

PULL_SETTINGS = """\
TO_START, TO_ZERO = $start, $zero  # how strongly what was loaded is held near its start, and the head near zero
"""

PULL = '''\
def hold_near_the_start(model):
    """Add a penalty on leaving the weights that were loaded, and one on the size of the new head's."""

    def penalty(start, strength):
        return lambda variable: strength / 2 * keras.ops.sum(keras.ops.square(variable - start))

    for layer in model.layers:
        for variable in layer.trainable_weights:
            start = np.zeros(variable.shape, "float32") if layer.name == "head" else np.array(variable.numpy())
            variable.regularizer = penalty(start, TO_ZERO if layer.name == "head" else TO_START)
'''

HOLD_NEAR = """\
    hold_near_the_start(model)
"""

CHOOSE = '''\
def choose_rate(${first}images, labels):
    """Try every rate on a part of the labels and take the one with the lowest loss on the others.

    The test images are not for choosing: an accuracy that something was chosen by is too high.
    """
    count = VALIDATION * CLASSES
    losses = {}
    for rate in RATES:
        model = train(${first}images, labels, np.arange(count, len(labels)), rate)
        loss = float(LOSS(labels[:count], model.predict(scaled(images[:count]), verbose=0)))
        losses[rate] = loss if np.isfinite(loss) else np.inf
        print(f"learning rate {rate:g}: loss {loss:.4f} on the validation part")
    return min(losses, key=losses.get)
'''

ACCURACY = '''\
def accuracy(model, images, labels):
    """Share of images whose largest output is their class's."""
    outputs = model.predict(scaled(images), batch_size=256, verbose=0)
    return float((outputs.argmax(axis=1) == labels).mean())
'''

ACCURACY_IN_PARTS = '''\
def accuracy(model, images, labels):
    """Share of images whose largest output is their class's; in parts, as numbers they take four times the memory."""
    parts = np.array_split(images, -(-len(images) // 1000))
    outputs = np.concatenate([model.predict(scaled(part), batch_size=64, verbose=0) for part in parts])
    return float((outputs.argmax(axis=1) == labels).mean())
'''

# --- the whole --------------------------------------------------------------------------------------------------------

MAIN = """\
def main():
$parse$source    x_train, y_train, x_test, y_test = load_target($target_argument)
    chosen = draw_labels(y_train)
    images, labels = $labelled, y_train[chosen]
    rate = $rate
$again    model = train(${first}images, labels, np.arange(len(labels)), rate)
    # The test images are used here, once, and nowhere before.
    print(f"test accuracy {accuracy(model, $test, y_test):.4f}")


if __name__ == "__main__":
    main()
"""

SOURCE_OPTION = """\
    parser.add_argument("checkpoint", nargs="?", help="the source model's weights; without, it is trained here first")
"""

WEIGHTS_OPTION = """\
    parser.add_argument("weights", nargs="?", help="file of ImageNet weights; without, Keras downloads them")
"""

NAMED_WEIGHTS_OPTION = """\
    parser.add_argument("weights", help="file of the weights, which the engine read from $file")
"""

FILE_OPTION = """\
    parser.add_argument("--$role-data", required=$required, metavar="FILE.npz", help="images and labels of the $role")
"""

GET_SOURCE = """\
    source = load_checkpoint(given.checkpoint) if given.checkpoint else pretrain($arguments)
"""

GET_IMAGENET = """\
    source = load_imagenet(given.weights)
"""

AGAIN = """\
    # Then once more with all labels, the validation part included.
"""

REUSE_MAIN = """\
def main():
$parse$source    model = build(SOURCE_CLASSES)
    for name, arrays in source.items():
        model.get_layer(name).set_weights(arrays)
    _, _, x_test, y_test = load_target($target_argument)
    # Nothing is trained: output 0 of the source is read as class 0 of the target, and so on.
    print(f"test accuracy {accuracy(model, $test, y_test):.4f}")


if __name__ == "__main__":
    main()
"""

PIXEL_MAIN = """\
def flat(images):
    \"\"\"One row of numbers from 0 to 1 an image.\"\"\"
    return scaled(images).reshape(len(images), -1)


def main():
$parse    x_train, y_train, x_test, y_test = load_target($target_argument)
    chosen = draw_labels(y_train)
    x, y = flat($labelled), y_train[chosen]
    # C, the inverse strength of the penalty, is chosen on the validation part: the test images are not for choosing.
    count = VALIDATION * CLASSES
    losses = {}
    for c in $grid:
        fitted = LogisticRegression(C=c, max_iter=1000).fit(x[count:], y[count:])
        losses[c] = log_loss(y[:count], fitted.predict_proba(x[:count]), labels=fitted.classes_)
        print(f"C = {c:g}: loss {losses[c]:.4f} on the validation part")
    fitted = LogisticRegression(C=min(losses, key=losses.get), max_iter=1000).fit(x, y)
    print(f"test accuracy {fitted.score(flat($test), y_test):.4f}")


if __name__ == "__main__":
    main()
"""

PARSE = """\
    parser = argparse.ArgumentParser(description="$title")
$options    given = parser.parse_args()

"""
