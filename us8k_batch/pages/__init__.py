"""What any page of ours is made of: one HTML file that opens everywhere, needs no network, and survives any text.

`shell` puts sections together into a page; `tables`, `charts` and `figure` make what stands in them. Whoever makes a
page gives plain values; three rules hold for all of it:

- *Text is text.* Every function takes ``str`` and escapes it, and returns ``markupsafe.Markup``, which is put in as
  it is. For markup of your own write ``Markup("<b>{}</b>").format(value)``, which escapes what it is given. Never
  make ``Markup`` of a string that a dataset, store or run had a part in.
- *Nothing inline but what we wrote.* The Content-Security-Policy allows the one style sheet and the one script of
  `shell`, by their digests, and ``data:`` images and sounds. A ``style`` attribute, an ``on…`` attribute, a further
  ``<style>`` or ``<script>``, and any address are without effect: use the classes of ``page.css`` and the attributes
  of SVG (``fill``, ``stroke``, ``width``), and let ``page.js`` act on ``data-…`` attributes.
- *Seen, heard or read.* Each figure has a caption, and words for who does not see it. Colours come as the classes
  ``c0`` to ``c7``, which set ``color`` (draw with ``currentColor``) and differ in light and dark and for colour-blind
  eyes; they never carry a meaning alone.

Nothing here knows stores, runs or audio.
"""
