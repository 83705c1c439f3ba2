"""What is wrong with channels, for the banner of every page."""

from __future__ import annotations

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from alerts.models import Channel

SHOWN_MAX = 3


def problems() -> list[SafeString]:
    """A sentence for each channel whose settings are wrong, so that it tells nobody."""
    rows = Channel.objects.filter(enabled=True).exclude(disabled_reason="").select_related("receiver")
    off = list(rows.order_by("pk"))
    sentences = [
        format_html(
            'Nobody is told by the channel {}: {}. <a class="link" href="{}">Repair it</a>',
            str(channel),
            channel.disabled_reason.rstrip("."),
            reverse("admin:alerts_channel_change", args=[channel.pk]),
        )
        for channel in off[:SHOWN_MAX]
    ]
    if len(off) > SHOWN_MAX:
        sentences.append(format_html("{} more channels are off.", len(off) - SHOWN_MAX))
    return sentences
