"""Names in scripts that the font of the figures lacks: another font draws them, or one sentence says that none does."""

import warnings

import pytest
from matplotlib.font_manager import FontEntry, findfont, fontManager

from longtail.report import fonts
from longtail.report.figures import style

NAMES = ["鳳蝶", "蛾 50%", "아게하", "アゲハ", "🦋", "𝔐𝔬𝔱𝔥"]


@pytest.fixture(autouse=True)
def forget():
    for function in (fonts._fonts_with, fonts._installed):
        function.cache_clear()
    yield
    for function in (fonts._fonts_with, fonts._installed):
        function.cache_clear()


def named(*names):
    figure = style.new_figure(1)
    axes = figure.add_subplot()
    axes.set_yticks(range(len(names)), names)
    axes.set_title("Käfer, Ćma и жук, مرحبا")
    return figure


@pytest.fixture
def installed(monkeypatch):
    """A machine with these further fonts and their letters, which are all drawn by the one that is here."""
    monkeypatch.setattr(fonts, "_installed", forgetting := lambda: installed.fonts)
    forgetting.cache_clear = lambda: None
    installed.fonts = {}
    return installed


@pytest.mark.parametrize("name", ["Käfer", "Ćma/тест", "moth\u200dfly", "a\ufe0f", "tab\tand\nline", ""])
def test_names_that_the_font_has_need_no_other(name):
    assert fonts.letters_beyond(name) == set()
    assert fonts.choose_fonts(named(name)) == ""


def test_letters_that_no_font_has_are_told_once_and_not_warned_of(tmp_path, installed):
    figure = named(*NAMES)
    told = fonts.choose_fonts(figure)
    assert told.startswith("Drawn as boxes, since no installed font has them: ")
    assert "鳳" in told and "install a font" in told and told.count("Drawn") == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        style.save(figure, tmp_path / "a.png", tmp_path / "a.pdf")
    assert fonts.letters_without_a_font(["moth", "鳳蝶"]) == {"鳳蝶": "蝶鳳"}


def test_installed_fonts_stand_in_for_missing_letters_alone(installed):
    installed.fonts = {"Kana": frozenset(map(ord, "アゲハ")), "Han": frozenset(map(ord, "鳳蝶蛾ハ"))}
    figure = named("鳳蝶", "アゲハ", "蛾アゲ", "moth")
    assert fonts.choose_fonts(figure) == ""
    families = {text.get_text(): text.get_fontfamily() for text in figure.axes[0].get_yticklabels()}
    assert families["鳳蝶"] == ["DejaVu Sans", "Han"]
    assert families["アゲハ"] == ["DejaVu Sans", "Kana"]
    assert families["蛾アゲ"] == ["DejaVu Sans", "Kana", "Han"]
    assert "Han" not in families["moth"] and "Kana" not in families["moth"]
    assert fonts.letters_without_a_font(["鳳蝶", "🦋蛾"]) == {"🦋蛾": "🦋"}


def test_the_fonts_of_matplotlib_that_show_boxes_are_not_taken(monkeypatch):
    """New versions of Matplotlib bring one with a box for every letter; another stands here under its name."""
    own = findfont(fonts.FONT)
    assert own.endswith("DejaVuSans.ttf")
    boxes = FontEntry(fname=own, name="Last Resort of old", style="normal", weight=400)
    monkeypatch.setattr(fontManager, "ttflist", [*fontManager.ttflist, boxes])
    fonts._installed.cache_clear()
    assert not any("Last Resort" in name or name.startswith(("STIX", "cm")) for name in fonts._installed())
    fonts._installed.cache_clear()
