"""The one sanitiser: what a model writes is shown, never executed, and loads nothing from elsewhere."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pygments.lexers import get_all_lexers

from annotate.rendering import LEXERS, LONGEST_CODE, LONGEST_MARKDOWN, _clean, _highlighted, render_markdown

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "[click](JaVaScRiPt&colon;alert(1))",
    "[click](data:text/html;base64,PHNjcmlwdD4=)",
    "[click](vbscript:x)",
    '![x"onerror="alert(1)](http://example.org/a.png"onerror="alert(1))',
    "<svg><animate onbegin=alert(1)>",
    "```html\n</code></pre><script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "<a href='x' style='position:fixed;inset:0'>all over the page</a>",
    "| a |\n|---|\n| <iframe src=//example.org> |",
    "[x](http://example.org 'title\" onmouseover=\"alert(1)')",
    "<math><mtext></p><style><img src=x onerror=alert(1)>",
]
TAG = re.compile(r"<([a-zA-Z][a-zA-Z0-9]*)([^>]*)>")
HARMLESS = {
    *("p", "br", "hr", "strong", "em", "s", "a", "span", "blockquote", "ul", "ol", "li", "code", "pre"),
    *("h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}


def _assert_harmless(html: str) -> None:
    for name, attributes in TAG.findall(html):
        assert name in HARMLESS, html
        named = re.sub(r'"[^"]*"', '""', attributes)
        assert not re.search(r"\b(on\w+|style|id|src)\s*=", named), html
        for address in re.findall(r'href="([^"]*)"', attributes):
            assert not re.match(r"(?i)\s*(javascript|data|vbscript):", address), html


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_comes_through(attack: str) -> None:
    _assert_harmless(render_markdown(attack))


@given(st.lists(st.one_of(st.sampled_from(ATTACKS), st.text(max_size=20)), max_size=6).map("".join))
@settings(max_examples=150, deadline=None)
def test_no_mixture_of_attacks_and_text_comes_through(text: str) -> None:
    _assert_harmless(render_markdown(text))


def test_the_second_wall_holds_even_if_the_renderer_lets_html_through() -> None:
    html = _clean('<p onclick="x">a<script>alert(1)</script><span class="evil k">b</span><img src=x></p>')
    assert html == '<p>a<span class="k">b</span></p>'


def test_html_of_a_response_is_shown_as_text() -> None:
    assert "&lt;b&gt;bold&lt;/b&gt;" in render_markdown("<b>bold</b>")


def test_code_is_highlighted_in_the_named_language_and_plain_in_an_unknown_one() -> None:
    assert '<span class="k">def</span>' in render_markdown("```python\ndef f(): pass\n```")
    assert render_markdown("```nosuchlanguage\ndef f\n```") == "<pre><code>def f\n</code></pre>\n"


def test_tables_lists_and_struck_out_text_are_rendered() -> None:
    html = render_markdown("| a | b |\n|:--|--:|\n| 1 | 2 |\n\n1. one\n2. two\n\n~~gone~~")
    assert '<td align="right">2</td>' in html
    assert "<li>one</li>" in html
    assert "<s>gone</s>" in html


def test_an_image_becomes_a_link_so_that_nothing_is_loaded() -> None:
    html = render_markdown("![a cat](https://example.org/cat.png)")
    assert "<img" not in html
    assert ">a cat</a>" in html
    assert 'rel="noopener noreferrer nofollow"' in html


def test_headings_go_below_those_of_the_page() -> None:
    assert render_markdown("# Title").strip() == "<h3>Title</h3>"


def test_single_line_breaks_are_kept_as_a_chat_shows_them() -> None:
    assert "one<br>" in render_markdown("one\ntwo")


@pytest.mark.parametrize("piece", ["[", "*a ", "`", "> ", "<", "![", "a_b_", "|", "\n- "])
def test_a_text_made_to_be_slow_is_rendered_within_seconds(piece: str) -> None:
    started = time.process_time()
    render_markdown((piece * LONGEST_MARKDOWN)[:LONGEST_MARKDOWN])
    assert time.process_time() - started < 10


REPEATED = ["a", '\\"', "a\n", "\t\na", ".a", "@", "a::", "<a ", "= ", "`", "(", "a b "]
SOURCE = "def area(width: float, height: float) -> float:\n    # of a rectangle\n    return width * height\n\n\n"


def _seconds(code: str, language: str) -> float:
    started = time.process_time()
    _highlighted(code, language, "")
    return time.process_time() - started


@pytest.fixture(scope="module")
def usual() -> float:
    """Seconds for the longest code as people write it."""
    return min(_seconds((SOURCE * LONGEST_CODE)[:LONGEST_CODE], "python") for _again in range(5))


@pytest.mark.parametrize("name", sorted(LEXERS))
def test_no_language_makes_repetitions_of_the_longest_code_slow(name: str, usual: float) -> None:
    """The slowest of these take 20 times as long as usual, those that are left out 60 to 400 times."""
    language = next(aliases[0] for known, aliases, *_rest in get_all_lexers() if known == name)
    for piece in REPEATED:
        code = (piece * LONGEST_CODE)[:LONGEST_CODE]
        # What else the machine does may slow down one try.
        assert any(_seconds(code, language) < 45 * usual for _again in range(3)), piece


def test_a_language_that_can_be_slow_is_shown_plain_or_read_as_one_like_it() -> None:
    for language in ("makefile", "basemake", "console", "devicetree", "autoit"):
        assert render_markdown(f"```{language}\na b\n```") == "<pre><code>a b\n</code></pre>\n"
    for language in ("java", "ts", "C#"):
        assert '<span class="kd">class</span>' in render_markdown(f"```{language}\nclass A {{}}\n```")


def test_code_with_endless_empty_room_is_shown_plain() -> None:
    for room in ("\n" * 1000, " \n" * 500, "\t" * 1000):
        assert "<span" not in render_markdown(f"```c\nint x;{room}y\n```")


def test_of_all_the_code_in_a_text_so_much_is_highlighted_and_the_rest_is_plain() -> None:
    block = "```python\nreturn 1" + "\n" * 100 + "#" * (LONGEST_CODE // 2 - 200) + "\n```\n"
    html = render_markdown(block * 3)
    assert html.count("return") == 3 and html.count('<span class="k">return</span>') == 2


def test_a_text_beyond_the_limit_is_shown_whole_and_plain() -> None:
    text = "<b>" + "x" * LONGEST_MARKDOWN
    html = render_markdown(text)
    assert html.startswith("<pre>&lt;b&gt;xxx")
    assert html.count("x") == LONGEST_MARKDOWN
