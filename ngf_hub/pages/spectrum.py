"""The curvature of the tuned layers before and after, as bars."""

from __future__ import annotations

from dataclasses import dataclass

from ngf_hub.pages.parts import Bar, Measure
from ngf_hub.report import Spectrum


@dataclass(frozen=True)
class Spectra:
    """What the page shows of a spectrum.

    Attributes:
        summary: λ_max and trace before and after.
        eigenvalues: Bars of the largest ones.
        layers: How many layers.
        images: How many images.
    """

    summary: list[tuple[str, str, str, str]]
    eigenvalues: list[Measure]
    layers: int
    images: int


def spectrum_bars(spectrum: Spectrum | None) -> Spectra | None:
    """The largest eigenvalues, on the scale of the largest of all; ``None`` where there are none.

    Args:
        spectrum: The report's part.
    """
    if spectrum is None or not (spectrum.before.eigenvalues and spectrum.after.eigenvalues):
        return None
    before, after = spectrum.before, spectrum.after
    largest = max(*before.eigenvalues, *after.eigenvalues, 0.0)
    shown = []
    for number, (first, second) in enumerate(
        zip(before.eigenvalues, after.eigenvalues, strict=False), 1
    ):
        bars = [
            Bar(
                series, f"{value:#.3g}", length=1000 * max(value, 0.0) / largest if largest else 0.0
            )
            for series, value in (("before", first), ("after", second))
        ]
        shown.append(Measure(f"λ{number}", "", bars))
    summary = [
        ("Largest eigenvalue λ_max", *_compared(before.eigenvalues[0], after.eigenvalues[0])),
        ("Trace", *_compared(before.trace, after.trace)),
    ]
    return Spectra(summary, shown, len(spectrum.layers), spectrum.images)


def _compared(before: float, after: float) -> tuple[str, str, str]:
    ratio = f"{after / before:.2g} times" if before > 0 else "–"
    return f"{before:#.3g}", f"{after:#.3g}", ratio
