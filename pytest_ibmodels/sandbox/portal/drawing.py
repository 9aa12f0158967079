"""Drawing of a document's words as SVG: the boxes of OCR, with the fields that a model found."""

from markupsafe import Markup

from pytest_ibmodels.sandbox.plaintext import visible
from pytest_ibmodels.sandbox.portal.formats import cut
from pytest_ibmodels.sandbox.portal.predictions import PageOfWords, Word

_SMALLEST = 6.0


def draw_page(page: PageOfWords) -> Markup:
    """Draw a page; a field has a colour, a dashed line of its own and its number, so that no sign is colour alone."""
    parts = []
    previous: Word | None = None
    for word in page.words:
        is_first = word.field is not None and (previous is None or previous.field != word.field)
        parts.append(_word(word, is_first=is_first))
        previous = word
    found = len({word.field for word in page.words if word.field is not None})
    label = f"Page {page.number}: {len(page.words)} words, {found} fields found"
    # The number of a field stands above its first word, which may be the first of the page.
    margin = max((word.height for word in page.words), default=0.0)
    return Markup('<svg class="page" viewBox="{0} {0} {1} {2}" role="img" aria-label="{3}">{4}</svg>').format(
        _number(-margin),
        _number(page.width + 2 * margin),
        _number(page.height + 2 * margin),
        label,
        Markup("").join(parts),
    )


def _word(word: Word, *, is_first: bool) -> Markup:
    height = max(word.height, 1.0)
    # The size is that of the group: the style sheet sets the size of other texts.
    size = _number(max(0.8 * height, _SMALLEST))
    text = Markup('<text x="{}" y="{}"{}>{}</text>').format(
        _number(word.x),
        _number(word.y + 0.8 * height),
        Markup(' textLength="{}" lengthAdjust="spacingAndGlyphs"').format(_number(word.width)) if word.width else "",
        visible(cut(word.text, 200)),
    )
    place = Markup('x="{}" y="{}" width="{}" height="{}"').format(
        _number(word.x), _number(word.y), _number(word.width), _number(height)
    )
    if word.field is None:
        return Markup('<g font-size="{}"><rect class="word" {}/>{}</g>').format(size, place, text)
    title = visible(f"{cut(word.field.name, 100)}: {cut(word.text, 100)} ({word.score or 0:.3f})")
    tag = (
        Markup('<text class="tag" x="{}" y="{}">{}</text>').format(
            _number(word.x), _number(word.y - 0.1 * height), word.field.number
        )
        if is_first
        else ""
    )
    return Markup('<g class="line-{0}" font-size="{1}"><title>{2}</title>{3}{4}{5}</g>').format(
        word.field.line,
        size,
        title,
        Markup('<rect class="found line-{}" {}/>').format(word.field.line, place),
        text,
        tag,
    )


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
