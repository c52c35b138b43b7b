"""A small collection of real pictures with a long tail: letters of the fonts that matplotlib ships.

    python tools/glyphs.py data/letters

writes a folder of class folders, for docs/own-images.md and for trying out. DejaVu and STIX draw every letter in
many styles, each of them a design of its own, so a class is a letter and an image is its picture in one of them.
"""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

# The frame of the programs.
sys.path.append(str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

from frame import Namespace, program, run
from PIL import Image, ImageDraw, ImageFont

LETTERS = "eaotinshrdlu"
"""The classes, from frequent to rare."""
MOST, LEAST = 90, 8
"""Images of the first and of the last class."""
SIDE = 48
NEW = 6
"""Images that are kept out of the collection, for prediction."""


def write_letters(folder: str | Path, seed: int = 0) -> dict[str, int]:
    """Write the collection to `folder`, and a few images more to `folder`-new. Returns the images per class.

    Raises:
        FileExistsError: one of the folders is there already.
    """
    folder = Path(folder)
    new = folder.with_name(f"{folder.name}-new")
    for path in (folder, new):
        if path.exists():
            raise FileExistsError(f"{path} exists; give another folder, or delete it")
    new.mkdir(parents=True)
    last = len(LETTERS) - 1
    counts = {
        f"letter {letter}": round(MOST * (LEAST / MOST) ** (place / last))
        for place, letter in enumerate(LETTERS)
    }
    fonts = _fonts()
    for letter, (name, count) in zip(LETTERS, counts.items(), strict=True):
        (folder / name).mkdir(parents=True)
        drawn = _drawings(letter, fonts, random.Random(f"{seed}/{letter}"))  # noqa: S311 (no secret)
        for number in range(count):
            next(drawn).save(folder / name / f"{number:03}.png")
        if letter in LETTERS[:: last // (NEW - 1)]:
            next(drawn).save(new / f"{letter}.png")
    return counts


def _fonts() -> list[Path]:
    """The text fonts; those of symbols have no letters."""
    import matplotlib

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    names = [
        *folder.glob("DejaVuS*.ttf"),
        *folder.glob("STIXGeneral*.ttf"),
        *folder.glob("cm[brst][1st]*.ttf"),
    ]
    return sorted(path for path in names if "Display" not in path.name)


def _drawings(letter: str, fonts: list[Path], draws: random.Random) -> Iterator[Image.Image]:
    """Pictures of a letter without end, each in another font, size, place, slant and pair of colours."""
    while True:
        font = ImageFont.truetype(draws.choice(fonts), draws.randint(28, 38))
        paper, ink = (tuple(draws.randint(*span) for _ in range(3)) for span in ((190, 255), (0, 90)))
        image = Image.new("RGB", (SIDE, SIDE), paper)
        place = (SIDE / 2 + draws.uniform(-3, 3), SIDE / 2 + draws.uniform(-3, 3))
        ImageDraw.Draw(image).text(place, letter, ink, font, anchor="mm")
        yield image.rotate(draws.uniform(-10, 10), Image.Resampling.BICUBIC, fillcolor=paper)


def main(args: Namespace) -> None:
    folder, counts = args.folder, write_letters(args.folder)
    print(
        f"{folder}: {sum(counts.values())} images of {len(counts)} classes, {max(counts.values())} to "
        f"{min(counts.values())} each; {folder}-new: {NEW} more"
    )


if __name__ == "__main__":
    parser = program(__doc__)
    parser.add_argument("folder", type=Path, help="folder to make, such as data/letters")
    run(main, parser)
