"""XML of other programs, read so that it cannot grow when it is read."""

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, XMLParser


def parsed(text: str, path: Path) -> Element:
    """The root of an XML document.

    Raises:
        ValueError: it is no XML, or declares entities, by which a small file may stand for a huge one.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError(f"{path} declares a document type, which no list needs; export it again")
    parser = XMLParser()  # noqa: S314 (without a document type there are no entities)
    try:
        parser.feed(text)
        return parser.close()
    except (ParseError, ValueError) as error:
        raise ValueError(f"{path} is no valid XML: {error}") from None
