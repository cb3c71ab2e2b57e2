"""Words, HTML and SVG made from values: strings only, no dependency."""
