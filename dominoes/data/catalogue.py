"""The named sources: classes, stocks, areas, files and terms. Tables only."""

from __future__ import annotations

from dominoes.spec import Split

TERMS = {
    "mnist": "LeCun, Cortes and Burges 1998; CC BY-SA 3.0",
    "fashion-mnist": "Xiao, Rasul and Vollgraf 2017; MIT",
    "kmnist": "Clanuwat et al. 2018; CC BY-SA 4.0",
    "svhn": "Netzer et al. 2011; for non-commercial use",
    "cifar10": "Krizhevsky 2009; no licence stated",
    "cifar100": "Krizhevsky 2009; no licence stated",
    "cifar100-coarse": "Krizhevsky 2009; no licence stated",
    "digits": "Alpaydin and Kaynak 1998, UCI; CC BY 4.0",
    "textures": "procedural, part of dominoes; MIT",
}


# By source: torchvision's class, and the files that hold each split under its root.
TORCHVISION: dict[str, tuple[str, dict[Split, tuple[str, ...]]]] = {
    name: (
        dataset,
        {
            split: tuple(f"{dataset}/raw/{part}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1"))
            for split, part in ((Split.TRAIN, "train"), (Split.TEST, "t10k"))
        },
    )
    for name, dataset in (("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST"))
} | {
    "cifar10": (
        "CIFAR10",
        {
            Split.TRAIN: tuple(f"cifar-10-batches-py/data_batch_{number}" for number in range(1, 6)),
            Split.TEST: ("cifar-10-batches-py/test_batch",),
        },
    ),
    **{name: ("CIFAR100", {split: (f"cifar-100-python/{split.value}",) for split in Split}) for name in ("cifar100", "cifar100-coarse")},
    "svhn": ("SVHN", {split: (f"{split.value}_32x32.mat",) for split in Split}),
}


# Sources that are other labels of the same files: by name, that of the folder these are in, and the column of the labels in Parquet.
FILES_OF = {"cifar100-coarse": "cifar100"}
LABELS = {"cifar100": "fine_label", "cifar100-coarse": "coarse_label"}


_DIGIT_NAMES = tuple("0123456789")
_FINE = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle caterpillar "
    "cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster "
    "house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree "
    "orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose "
    "sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television "
    "tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)
_COARSE = (
    "aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices household_furniture insects "
    "large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes large_omnivores_and_herbivores medium_mammals "
    "non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2"
)
CLASS_NAMES: dict[str, tuple[str, ...]] = {
    "mnist": _DIGIT_NAMES,
    "fashion-mnist": ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    "svhn": _DIGIT_NAMES,
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "cifar100": tuple(_FINE.split()),
    "cifar100-coarse": tuple(_COARSE.split()),
    "digits": _DIGIT_NAMES,
    "textures": tuple(f"texture {number}" for number in range(10)),
}


# Pictures of each class, so that `solve` needs no data.
STOCKS: dict[str, dict[Split, tuple[int, ...]]] = {
    "mnist": {
        Split.TRAIN: (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        Split.TEST: (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
    },
    "fashion-mnist": {Split.TRAIN: (6000,) * 10, Split.TEST: (1000,) * 10},
    "kmnist": {Split.TRAIN: (6000,) * 10, Split.TEST: (1000,) * 10},
    "svhn": {
        Split.TRAIN: (4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659),
        Split.TEST: (1744, 5099, 4149, 2882, 2523, 2384, 1977, 2019, 1660, 1595),
    },
    "cifar10": {Split.TRAIN: (5000,) * 10, Split.TEST: (1000,) * 10},
    "cifar100": {Split.TRAIN: (500,) * 100, Split.TEST: (100,) * 100},
    "cifar100-coarse": {Split.TRAIN: (2500,) * 20, Split.TEST: (500,) * 20},
    "digits": {
        Split.TRAIN: (143, 146, 142, 147, 145, 146, 145, 144, 140, 144),
        Split.TEST: (35, 36, 35, 36, 36, 36, 36, 35, 34, 36),
    },
    "textures": {Split.TRAIN: (200,) * 10, Split.TEST: (50,) * 10},
}


# Side of the pictures without padding (`transforms.area`), so that dials can be checked without data.
AREAS = {
    **{"mnist": 28, "fashion-mnist": 28, "kmnist": 28, "digits": 24},
    **dict.fromkeys(("svhn", "cifar10", "cifar100", "cifar100-coarse", "textures"), 32),
}
