"""Templates of summaries, descriptions and messages."""

from __future__ import annotations

from typing import Any

import pytest

from alerts import templating
from alerts.templating import TemplateError, render

GIVEN: dict[str, Any] = {
    "labels": {"service": "worker", "team": "shop"},
    "value": 1234.5,
    "status": "firing",
    "common_labels": {"alertname": "Down"},
    "alerts": [{"labels": {"service": "a"}, "firing": True}, {"labels": {"service": "b"}, "firing": False}],
    "none": [],
}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no template", "no template"),
        ("", ""),
        ("{{ $labels.service }} is down", "worker is down"),
        ("{{$labels.service}}{{$value}}", "worker1234.5"),
        ("{{ .Labels.service }}: {{ .Value }}", "worker: 1234.5"),
        ("{{ .CommonLabels.alertname }}", "Down"),
        ("{{ $labels.unknown }}{{ $nothing.at.all }}{{ $value.x }}", ""),
        ("{{ $.status }}", "firing"),
        # Functions, before and through pipes.
        ("{{ humanize $value }}", "1.234k"),
        ("{{ $value | humanize }}", "1.234k"),
        ('{{ printf "%.1f of %s" $value $labels.team }}', "1234.5 of shop"),
        ('{{ $value | printf "%.0f" }}', "1234"),
        ("{{ $labels.service | toUpper | title }}", "WORKER"),
        ('{{ reReplaceAll "w(.*)r" "<$1>" $labels.service }}', "<orke>"),
        ('{{ if match "^w" $labels.service }}yes{{ end }}', "yes"),
        ('{{ index $labels "team" }} {{ (index .alerts 1).firing }}', None),
        ("{{ len .alerts }}", "2"),
        ('{{ (printf "%s" $labels.team) | toUpper }}', "SHOP"),
        ("{{ `raw \\n` }} {{ \"\\\"quoted\\\"\" }}", 'raw \\n "quoted"'),
        ("{{ true }} {{ 3 }} {{ 3.0 }} {{ -1.5 }} {{ nil }}", "true 3 3 -1.5 "),
        # Conditions.
        ('{{ if eq .status "firing" }}on{{ else }}off{{ end }}', "on"),
        ("{{ if gt $value 2000 }}a{{ else if gt $value 1000 }}b{{ else }}c{{ end }}", "b"),
        ("{{ if .none }}some{{ else }}none{{ end }}", "none"),
        ('{{ if and (eq .status "firing") (lt $value 1) }}a{{ end }}', ""),
        ("{{ if or .none $value }}a{{ end }}{{ if not .none }}b{{ end }}", "ab"),
        ("{{ with .labels }}{{ .team }}{{ end }}", "shop"),
        # Ranges.
        ("{{ range .Alerts }}{{ .Labels.service }},{{ end }}", "a,b,"),
        ("{{ range $i, $a := .alerts }}{{ $i }}={{ $a.labels.service }} {{ end }}", "0=a 1=b "),
        ("{{ range $name, $text := .labels }}{{ $name }}={{ $text }} {{ end }}", "service=worker team=shop "),
        ("{{ range .none }}x{{ else }}nobody{{ end }}", "nobody"),
        ("{{ range .alerts }}{{ $.status }} {{ end }}", "firing firing "),
        # Variables, comments, spaces.
        ('{{ $x := printf "%d" 7 }}{{ $x }}', "7"),
        ("a {{/* nobody reads }} this */}} b", "a  b"),
        ("a  {{- 1 -}}  b", "a1b"),
        ("{{ range .alerts -}}\n  {{ .labels.service }}\n{{- end }}", "ab"),
        ('{{ "}}" }}', "}}"),
    ],
)  # fmt: skip
def test_what_comes_out(text: str, said: str | None) -> None:
    if said is None:
        # Only names and variables have paths.
        with pytest.raises(TemplateError):
            render(text, GIVEN)
    else:
        assert render(text, GIVEN) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ humanize 0 }} {{ humanize 999 }} {{ humanize 1234567 }} {{ humanize 0.0012 }}", "0 999 1.235M 1.2m"),
        ("{{ humanize1024 2048 }} {{ humanize1024 1 }} {{ humanize1024 0.5 }}", "2ki 1 0.5"),
        ("{{ humanizeDuration 3725 }}, {{ humanizeDuration 90061 }}", "1h 2m 5s, 1d 1h 1m 1s"),
        ("{{ humanizeDuration 59.5 }}", "59.5s"),
        ("{{ humanizeDuration 0.012 }}, {{ humanizeDuration -60 }}, {{ humanizeDuration 0 }}", "12ms, -1m 0s, 0s"),
        ("{{ humanizePercentage 0.1234 }}", "12.34%"),
        ("{{ humanizeTimestamp 0 }}", "1970-01-01 00:00:00 +0000 UTC"),
        ('{{ printf "%d%% %5.2f|%-4s|%x %q %v" 7 1.5 "ab" 255 "x" 2.0 }}', '7%  1.50|ab  |ff "x" 2'),
        ('{{ title "two words" }} {{ toLower "ABC" }} {{ "  x " | trimSpace }}', "Two Words abc x"),
        ('{{ "<b>" | html }} {{ urlquery "a b/c" }}', "&lt;b&gt; a%20b%2Fc"),
    ],
)  # fmt: skip
def test_functions_say_what_those_of_prometheus_say(text: str, said: str) -> None:
    assert render(text, {}) == said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{{ "x }}', "expected }} after"),
        ('{{ "a" ' * 2_000, "expected"),
        ("{{ $value", "expected }} after '{{ $value'"),
        ("{{ if $value }}x", "expected {{ end }} after {{ if … }}"),
        ("x{{ end }}", "expected {{ end }} after an if"),
        ("{{ shell }}", "there is no function shell"),
        ("{{ $value | 3 }}", "expected a function after |"),
        ("{{ ( $value }}", "expected a closing )"),
        ("{{ $value $value }}", "expected }} in"),
        ("{{ ; }}", "expected a value or a function"),
        ("{{ }}", "expected"),
        ("{{ if }}x{{ end }}", "expected a value"),
        ("{{ else }}", "expected"),
        ("{{ if $value }}a{{ else range }}b{{ end }}", "expected else or else if"),
        ("{{ humanize $labels.service }}", "humanize can't be applied to 'worker'"),
        ("{{ range $value }}{{ end }}", "expected something with several items after range"),
        ('{{ reReplaceAll "(" "" "x" }}', "reReplaceAll can't be applied"),
        ('{{ printf "%99999999d" 1 }}', "expected a width of at most 1,000"),
        ("{{ range .alerts }}" * 11, "at most 10 blocks"),
        ("{{ " + "(" * 30, "expected }} after"),
        ("{{ " + "(" * 30 + "}}", "at most 10 parentheses"),
        ("x" * 20_001, "at most 20,000 characters"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(text, GIVEN)
    assert sentence in str(caught.value)


def test_a_template_reaches_nothing_but_what_it_is_given() -> None:
    assert render("{{ $value.__class__ }}{{ .labels.__class__ }}{{ $x.y }}", {"value": object(), "labels": {}}) == ""


def test_ranges_in_ranges_come_to_an_end() -> None:
    with pytest.raises(TemplateError, match="fewer ranges in ranges"):
        render("{{ range .a }}{{ range $.a }}x{{ end }}{{ end }}", {"a": ["x"] * 500})


def test_not_too_much_comes_out() -> None:
    with pytest.raises(TemplateError, match="at most 100,000 characters"):
        render("{{ range .a }}{{ $.b }}{{ end }}", {"a": ["x"] * 500, "b": "y" * 1_000})


def test_a_template_is_read_once() -> None:
    assert templating.parse("{{ $value }} once") is templating.parse("{{ $value }} once")
