"""The one way in which text of a model or a person becomes HTML: Markdown, then the sanitiser (invariant 9)."""

import re
from functools import lru_cache
from typing import Any

import nh3
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES
from pygments.util import ClassNotFound

# Beyond these, text is shown as it stands: a page must never hang on one response.
LONGEST_MARKDOWN = 50_000
LONGEST_CODE = 5_000
# A response names its language itself, and many lexers take seconds, or minutes, for a few thousand characters that
# repeat. These do not, as a test finds of each. By the names that Pygments gives them; S is R.
LEXERS = {
    *("Bash", "C", "C++", "CSS", "Dart", "Diff", "Docker", "Go", "HTML", "Haskell", "JSON", "JavaScript", "Julia"),
    *("Kotlin", "Lua", "PHP", "PowerShell", "Python", "Ruby", "Rust", "S", "SCSS", "SQL", "Scala", "Swift", "TOML"),
    *("TeX", "XML", "YAML"),
}
# Languages whose own lexer is a slow one, and which look alike.
READ_AS = dict.fromkeys(("java", "c#", "csharp", "cs", "ts", "tsx", "typescript", "jsx"), "javascript")
# Empty room is what most lexers, these too, look through again and again.
EMPTY_ROOM = re.compile(r"\s{200}")

TAGS = {
    *("p", "br", "hr", "strong", "em", "s", "a", "span", "blockquote", "ul", "ol", "li", "code", "pre"),
    *("h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}, "th": {"align"}, "td": {"align"}}
CLASSES = {"span": {name for name in STANDARD_TYPES.values() if name}}
HEADINGS = {"h1": "h3", "h2": "h4", "h3": "h5", "h4": "h6", "h5": "h6", "h6": "h6"}
ALIGNMENT = {"text-align:left": "left", "text-align:center": "center", "text-align:right": "right"}


@lru_cache(maxsize=128)
def render_markdown(text: str) -> SafeString:
    """HTML that is safe to put into a page. HTML in the text is shown as text, images as links."""
    if len(text) > LONGEST_MARKDOWN:
        return mark_safe(f"<pre>{escape(text)}</pre>")
    return mark_safe(_clean(_parser.render(text)))


def _clean(html: str) -> str:
    """The second wall: even if the renderer let something through, only these tags and attributes remain."""
    return nh3.clean(
        html,
        tags=TAGS,
        attributes=ATTRIBUTES,
        allowed_classes=CLASSES,
        url_schemes={"http", "https", "mailto"},
        set_tag_attribute_values={"a": {"target": "_blank"}},
        link_rel="noopener noreferrer nofollow",
    )


def _highlighted(code: str, language: str, _attributes: str) -> str:
    """Nothing, which leaves the code plain, where the language is not known or could take long."""
    if not language or EMPTY_ROOM.search(code):
        return ""
    try:
        lexer = get_lexer_by_name(READ_AS.get(language.lower(), language), stripnl=False)
    except ClassNotFound:
        return ""
    if lexer.name not in LEXERS:
        return ""
    return highlight(code, lexer, HtmlFormatter(nowrap=True))


def _tame(state: StateCore) -> None:
    """Headings go below those of the page; alignment is an attribute, since styles are not let through; of all the code
    in a text no more than LONGEST_CODE is highlighted."""
    left = LONGEST_CODE
    for token in state.tokens:
        if token.type == "fence":
            left -= len(token.content)
            token.info = token.info if left >= 0 else ""
        token.tag = HEADINGS.get(token.tag, token.tag)
        if align := ALIGNMENT.get(str(token.attrs.pop("style", ""))):
            token.attrs["align"] = align


def _image_as_link(renderer: RendererHTML, tokens: list[Token], index: int, options: Any, environment: Any) -> str:
    """Loading an image would tell a stranger's server who judges when; the policy of the page forbids it anyway."""
    token = tokens[index]
    source = str(token.attrs.get("src", ""))
    return f'<a href="{escape(source)}">{escape(token.content or source)}</a>'


def _build() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True, "highlight": _highlighted})
    parser.enable(["table", "strikethrough"])
    parser.core.ruler.push("tame", _tame)
    parser.add_render_rule("image", _image_as_link)
    return parser


_parser = _build()
