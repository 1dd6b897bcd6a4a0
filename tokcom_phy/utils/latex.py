"""Text as LaTeX sets it, for pdfTeX, XeTeX and LuaTeX alike."""

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "−": r"\ensuremath{-}",
    "±": r"\ensuremath{\pm}",
    "×": r"\ensuremath{\times}",
    "·": r"\ensuremath{\cdot}",
    "≤": r"\ensuremath{\leq}",
    "≥": r"\ensuremath{\geq}",
    "→": r"\ensuremath{\to}",
    "∞": r"\ensuremath{\infty}",
    "²": r"\ensuremath{^2}",
    "³": r"\ensuremath{^3}",
    "°": r"\ensuremath{^\circ}",
    "µ": r"\ensuremath{\mu}",
}
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho varsigma sigma tau "
    "upsilon phi chi psi omega"
)
_SPECIAL |= {chr(0x3B1 + place): rf"\ensuremath{{\{name}}}" for place, name in enumerate(_GREEK.split())}
_SPECIAL |= {"Δ": r"\ensuremath{\Delta}", "Σ": r"\ensuremath{\Sigma}", "Ω": r"\ensuremath{\Omega}", "\u03bf": "o"}
_TABLE = str.maketrans({**_SPECIAL, "\n": " ", "\r": " ", "\t": " "})


def latex_text(text: str) -> str:
    """A text in which nothing is a command, a formula or a comment; what does not print becomes a question mark."""
    shown = "".join(c if c.isprintable() or c.isspace() else "?" for c in text)
    return shown.translate(_TABLE)
