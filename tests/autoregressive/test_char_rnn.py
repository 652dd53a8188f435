"""char-rnn: texts as data, causality in one dimension, a language of known entropy, the
commands."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import causal
import tiny
from zeuxis.autoregressive.char_rnn import CharRNN, CharRNNConfig
from zeuxis.autoregressive.sampling import run_autoregression
from zeuxis.capabilities import CanAutoregress, CanLogProb, CanSample
from zeuxis.checkpoints.weights import build
from zeuxis.cli import main
from zeuxis.data import load_data
from zeuxis.data.dataset import Dataset, Spec
from zeuxis.data.text import codes, spelled, text
from zeuxis.errors import DataError, UsageError
from zeuxis.training.loop import fit

ABC = Spec("abc", (7,), 0, ("a", "b", "c"))


def make(seed: int = 0, **changes: object) -> CharRNN:
    torch.manual_seed(seed)
    model = CharRNN(CharRNNConfig(**{"hidden_dim": 6, "layers": 2, **changes}), ABC)
    for p in model.parameters():
        torch.nn.init.normal_(p, 0, 0.6)
    return model.double().eval().requires_grad_(False)


def random_text(n: int) -> torch.Tensor:
    return torch.randint(3, (n, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_text_becomes_pieces_and_back(tmp_path: Path) -> None:
    written = "Stately, plump Buck Mulligan — été.\n" * 40
    (book := tmp_path / "book.txt").write_text(written, encoding="utf-8")
    train, test = text(book, length=10), text(book, "test", length=10)
    assert train.spec.class_names == tuple(sorted(set(written))) == test.spec.class_names
    border = len(written) * 19 // 20
    assert "".join(spelled(train.all(), train.spec.class_names)) == written[: border // 10 * 10]
    assert "".join(spelled(test.all(), test.spec.class_names)) == written[border:][: len(test) * 10]
    assert torch.equal(codes(written, train.spec.class_names)[:10], train.all()[0])
    assert load_data(str(book), size=10, limit=3).all().shape == (3, 10)


def test_every_character_sees_all_before_it_and_none_after() -> None:
    model = make()
    x = random_text(8)
    distributions = model.conditionals(x)
    changed = torch.zeros(7, 7, dtype=torch.bool)
    for j in range(7):
        other = x.clone()
        other[:, j] = (x[:, j] + 1) % 3
        changed[:, j] = (model.conditionals(other) - distributions).abs().amax((0, 2)) > 1e-13
    assert torch.equal(changed, causal.earlier(7))


def test_a_scan_gives_the_conditionals_and_the_likelihood_is_their_sum() -> None:
    model, x = make(), random_text(5)
    distributions = model.conditionals(x)
    torch.testing.assert_close(distributions.exp().sum(2), torch.ones(5, 7, dtype=torch.float64))
    scan = model.autoregress(5)
    found = [next(scan)] + [scan.send(x[:, i].long()) for i in range(6)]
    torch.testing.assert_close(torch.stack(found, 1), distributions)
    answer = model.log_prob(x)
    assert answer.exact
    torch.testing.assert_close(
        answer.nats, distributions.gather(2, x.long()[..., None]).sum((1, 2))
    )


def test_probabilities_of_all_short_texts_add_up_to_one() -> None:
    every = torch.cartesian_prod(*[torch.arange(3)] * 4).byte()
    p = make().log_prob(every).nats.exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-10)
    assert p.std() > 0.05 * p.mean()


def test_carried_states_equal_whole_passes() -> None:
    """The sampler, which carries its states, against one that reads the whole text again for every
    character."""
    model = make()
    x = model.sample(4, generator=torch.Generator().manual_seed(3))

    def naive():  # type: ignore[no-untyped-def]
        read = torch.zeros(4, 7, dtype=torch.uint8)
        for i in range(7):
            read[:, i] = yield model.conditionals(read)[:, i]

    u = torch.rand(4, 7, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert torch.equal(run_autoregression(naive(), u)[0].byte(), x)


def test_a_language_of_known_entropy_is_learned() -> None:
    """Pairs "ab" and "ba", each as likely: log 2 nats a pair, and the first character says the
    second."""
    first = torch.randint(2, (256, 12), generator=torch.Generator().manual_seed(0))
    x = torch.stack([first, 1 - first], 2).flatten(1).byte()
    data = Dataset(Spec("pairs", (24,), 0, ("a", "b")), x)
    model = build("char-rnn", CharRNNConfig(hidden_dim=16, layers=1, lr=2e-2), data.spec)
    model = fit(
        model, data, training=tiny.training(images=6400, batch=32, average=200), quiet=True
    ).model
    assert isinstance(model, CharRNN)
    assert -model.log_prob(x).nats.mean().item() == pytest.approx(12 * math.log(2), rel=0.03)
    drawn = model.sample(50, generator=torch.Generator().manual_seed(0)).view(50, 12, 2).int()
    assert (drawn.sum(2) == 1).float().mean() > 0.98


def test_texts_begin_as_given_and_cold_ones_are_likely() -> None:
    model = make()
    for one in model.write(3, start="cab", length=12, generator=torch.Generator().manual_seed(0)):
        assert one.startswith("cab") and len(one) == 12
    nats = [
        model.log_prob(
            model.sample(200, temperature=t, generator=torch.Generator().manual_seed(0))
        ).nats.mean()
        for t in (0.3, 1, 3)
    ]
    assert nats[0] > nats[1] > nats[2]


def test_dropout_is_drawn_from_the_steps_noise() -> None:
    model, x = tiny.model("char-rnn", dropout=0.5).train(), tiny.data_for("char-rnn").all()[:8]
    assert isinstance(model, CharRNN)
    noise = lambda seed: tiny.Noise(seed, 0, slice(0, 8), 8)  # noqa: E731
    drawn = [model.log_likelihood(x, noise(seed)) for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_capabilities() -> None:
    for capability in (CanSample, CanLogProb, CanAutoregress):
        assert isinstance(make(), capability)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("texts")
    (at / "book.txt").write_text("the cat sat on the mat. " * 200)
    (at / "short.txt").write_text("the cat")
    (at / "latin.txt").write_bytes("été ".encode("latin-1") * 200)
    (at / "many.txt").write_text("".join(chr(0x4E00 + i) for i in range(300)) * 3)
    return at


def test_a_text_is_learned_and_continued(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    small = (
        "--model.hidden-dim 8 --size 24 --training.images 200 --training.film 3 "
        "--training.threads 1"
    )
    assert main(f"train char-rnn --data book.txt {small}".split()) == 0
    folder = "runs/0001-char-rnn-book-seed0"
    capsys.readouterr()
    assert main(["sample", folder, "--start", "the ", "--length", "40"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("the ") and len(said.rstrip("\n")) == 40
    assert main(f"sample {folder} --n 2 --length 10 --temperature 0.5 --out two.txt".split()) == 0
    assert [len(part) for part in (place / "two.txt").read_text().rstrip("\n").split("\n\n")] == [
        10,
        10,
    ]
    assert main(f"train --resume {folder} --images 300".split()) == 0


BAD = [
    ("train char-rnn", 1, "There is no data set 'book.txt'"),
    ("train char-rnn --data {0}/short.txt", 1, "give a longer text, or a smaller --size"),
    ("train char-rnn --data {0}/latin.txt", 1, "UTF-8"),
    ("train char-rnn --data {0}/many.txt", 1, "more than 256"),
    ("train char-rnn --data mnist", 2, "learns text"),
    ("train char-rnn --data {0}/book.txt --channels 1", 2, "leave out --labels and --channels"),
    ("train char-rnn --data {0}/book.txt --model.layers 0", 2, "--model.layers must be from 1"),
    ("train dcgan --data {0}/book.txt", 2, "needs square images"),
    ("train planar --data {0}/book.txt", 2, "makes points"),
    ("sample {0}/model --start ö", 2, "does not occur in the text"),
    ("sample {0}/model --start abcabc --length 3", 2, "give at least 6"),
    ("sample {0}/model --temperature 0", 2, "above 0"),
    ("sample {0}/gan --start a", 2, "models of text"),
    ("sample {0}/gan --temperature 0.5", 2, "for autoregressive models"),
    ("surprisal {0}/model", 2, "shows images"),
]


@pytest.mark.parametrize(("words", "code", "sentence"), BAD, ids=[case[0] for case in BAD])
def test_bad_input_gets_one_sentence(
    words: str,
    code: int,
    sentence: str,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from zeuxis.checkpoints.weights import save

    monkeypatch.chdir(tmp_path)
    if not (place / "model").exists():
        save(CharRNN(CharRNNConfig(hidden_dim=4), ABC), place / "model")
        save(tiny.model("dcgan"), place / "gan")
    assert main(words.format(place).split()) == code
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.strip().splitlines()) == 1


def test_what_is_no_text_is_said_in_the_library_too(place: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as text"):
        text(place / "latin.txt")
    with pytest.raises(UsageError, match="'z' does not occur"):
        codes("zebra", "aber")
